//! Whether the folder says what the code says.

use super::super::catalogue::EventCatalogue;
use super::super::folder::Folder;
use super::super::lock::LockFile;
use super::super::report::{Column, Finding, Report};
use factstream_core::schema::Level;

const BLESS: &str = "run the gate's test with FACTSTREAM_BLESS=1, look at the difference and commit it";

pub(super) fn check(catalogue: &EventCatalogue, folder: &Folder, report: &mut Report) {
    for declared in catalogue.recorded() {
        let event_type = declared.event_type;
        let of = (event_type.name, event_type.version);
        let mut add = |code, text: String| {
            report.add(Finding::new(code, Level::Break, Column::Lock, of, format!("{text}; {BLESS}")));
        };
        let Some(lock) = folder.locks.get(&(event_type.name.to_owned(), event_type.version)) else {
            add("not-locked", "it is recorded by this build, and has no lock file".into());
            continue;
        };
        let now = LockFile::of(event_type, declared.schema.clone());
        let mut changed = Vec::new();
        for (is_changed, what) in [
            (*lock.newest() != declared.schema, "its shape"),
            (lock.topic != now.topic, "its topic"),
            (lock.was != now.was, "its former names"),
            (lock.retired != now.retired, "whether it is retired"),
        ] {
            if is_changed {
                changed.push(what);
            }
        }
        if !changed.is_empty() {
            add("stale", format!("the lock file is not what the code says: {} changed", changed.join(", ")));
        }
    }
}
