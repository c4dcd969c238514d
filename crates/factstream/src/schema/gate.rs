//! The gates as an ordinary test.

use super::folder::Folder;
use crate::builder::Builder;
use std::path::Path;

/// The variable of the environment that has the folder rewritten instead of checked.
pub const BLESS: &str = "FACTSTREAM_BLESS";

/// Fails the test unless the folder says what the code says, and this build reads all that was ever locked. Needs no store and no network.
///
/// ```no_run
/// # fn builder() -> factstream::Builder { factstream::App::builder("sqlite::memory:") }
/// #[test]
/// fn every_stored_event_stays_readable() {
///     factstream::schema::assert_locked("schema", &builder());
/// }
/// ```
///
/// With `FACTSTREAM_BLESS=1` it brings the folder up to date, unless something breaks that is not waived. A relative path begins at the
/// package under test.
///
/// # Panics
/// With the [report](super::Report) when something breaks.
#[track_caller]
pub fn assert_locked(folder: impl AsRef<Path>, builder: &Builder) {
    let catalogue =
        builder.events().unwrap_or_else(|error| panic!("the events do not fit together: {error}"));
    if std::env::var_os(BLESS).is_some_and(|value| value == "1") {
        match catalogue.bless(folder) {
            Ok(written) => written.iter().for_each(|path| println!("written: {}", path.display())),
            Err(error) => panic!("{error}"),
        }
        return;
    }
    let folder = Folder::read(folder).unwrap_or_else(|error| panic!("{error}"));
    let report = catalogue.check(&folder);
    assert!(report.passes(), "\n{report}");
}
