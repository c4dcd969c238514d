//! What the commands print for people: tables that fit the terminal.

use crate::Failed;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

/// A table with these headings, as wide as the terminal and no wider than its content needs.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_none() {
        table.set_width(100);
    }
    table.set_header(headings.to_vec());
    table
}

/// A figure, or that it is not known.
pub fn known(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "?".to_owned(), |figure| figure.to_string())
}

/// A command that only looks must not make a new store because of a typing mistake.
///
/// # Errors
/// When a SQLite URL names a file that does not exist.
pub fn check_exists(store: &str) -> Result<(), Failed> {
    // Opening says what is wrong with any other URL, and shows nothing of it that may be a password.
    match factstream::sqlite::path_of(store) {
        Ok(path) if !path.exists() => {
            Err(format!("there is no store {}; name one with --store sqlite://FILE", path.display()).into())
        }
        _ => Ok(()),
    }
}

/// This program as it was called, so that what is printed can be typed.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "orders".to_owned())
}
