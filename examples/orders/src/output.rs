//! What the commands print for people: tables that fit the terminal.

use crate::app::{self, Config};
use crate::{Failed, urls};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use factstream::App;
use factstream::setting::Given;

/// A table with these headings, as wide as the terminal and no wider than its content needs. Where there is no terminal, each row is
/// one line: names are whole for whoever searches in it.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    if table.width().is_some() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(headings.to_vec());
    table
}

/// A figure, or that it is not known.
pub fn known(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "?".to_owned(), |figure| figure.to_string())
}

/// Opens the store of a command that may change it. It must not make a new one because of a typing mistake.
///
/// # Errors
/// When a SQLite URL names a file that does not exist, or the store cannot be used.
pub async fn open(store: Given) -> Result<App, Failed> {
    check_exists(&store)?;
    let (config, broker) = (Config { store: store.url.clone(), ..Config::default() }, in_store());
    app::builder(&config).open().await.map_err(|error| urls::explain(error, &store, &broker))
}

/// Opens the store of a command that only looks, with the broker to ask. Nothing is changed.
///
/// # Errors
/// As [`open`], and when the broker's URL cannot be used.
pub async fn inspect(store: Given, broker: Given) -> Result<App, Failed> {
    check_exists(&store)?;
    let config = Config { store: store.url.clone(), broker: broker.url.clone(), ..Config::default() };
    app::builder(&config).inspect().await.map_err(|error| urls::explain(error, &store, &broker))
}

/// The broker of a command that has nothing to ask one.
pub fn in_store() -> Given {
    Given { url: urls::BROKER.to_owned(), from: "the default".to_owned() }
}

fn check_exists(store: &Given) -> Result<(), Failed> {
    // Opening says what is wrong with any other URL, and shows nothing of it that may be a password.
    match factstream::sqlite::path_of(&store.url) {
        Ok(path) if !path.exists() => {
            let (path, from) = (path.display(), &store.from);
            Err(format!("there is no store {path} ({from}); name one with --store sqlite://FILE").into())
        }
        _ => Ok(()),
    }
}

/// This program as it was called, so that what is printed can be typed.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "orders".to_owned())
}
