//! Schema evolution (G21): what events' JSON looks like, locked in files, and gates that fail before a build that cannot read history.
//!
//! | step | file |
//! |---|---|
//! | what this build declares: types, shapes, the real decoder | [`EventCatalogue`] |
//! | what earlier builds have written, one file for each type and version | [`LockFile`], [`Folder`] |
//! | the gates: stale, compatible, golden | [`EventCatalogue::check`] |
//! | what must not fail a build for now, until a date | [`Waiver`] |
//! | the result, as text, JSON, JUnit or annotations | [`Report`] |
//! | the folder as it was in another revision | [`Folder::at_revision`] |
//! | writing the folder | [`EventCatalogue::bless`] |
//! | all of it as an ordinary test | [`assert_locked`] |
//! | a store, event by event | [`EventCatalogue::verify`] |
//!
//! Invariants: a lock file keeps every shape that was ever written under its version, so a later change is compared with all of them.
//! What breaks is not blessed: it is waived, with a reason and a date, or mended. Nothing here runs when events are appended or read.

mod canonical;
mod lock;
mod folder;
mod waivers;
mod report;
mod formats;
mod catalogue;
mod gates;
mod pending;
mod bless;
mod revision;
mod gate;
mod verify;

pub use bless::BlessError;
pub use catalogue::EventCatalogue;
pub use factstream_core::schema::*;
pub use folder::{Folder, FolderError, Sample};
pub use gate::{BLESS, assert_locked};
pub use lock::{FORM, LockFile};
pub use pending::PendingFile;
pub use report::{Column, Finding, Format, Report};
pub use verify::{HistoryMatrix, HistoryRow, Place, VerifyProgress};
pub use waivers::Waiver;

#[cfg(test)]
mod tests;
