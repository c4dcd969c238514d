//! Versions that are left: an upcaster is code, so it is tried with values that may have been written.

use super::super::catalogue::{Declared, EventCatalogue};
use super::super::lock::LockFile;
use super::super::report::{Column, Finding, Report};
use factstream_core::schema::{Contract, Level, Reader, Schema, misfits, sample};
use serde_json::Value;

/// Values made up for each revision, beside the smallest and the fullest.
const TRIES: u32 = 30;

pub(super) fn check(catalogue: &EventCatalogue, lock: &LockFile, declared: &Declared, report: &mut Report) {
    let of = (lock.event.as_str(), lock.version);
    if declared.is_recorded && is_needless(lock, declared) {
        let text = format!(
            "version {} was raised without need: this build reads what version {} wrote, and a build of then reads what is written now. Lower the version; if the meaning changed, waive this",
            declared.event_type.version, lock.version
        );
        report.add(Finding::new("version-needless", Level::Break, Column::Lock, of, text));
    }
    for revision in &lock.revisions {
        for value in values(revision) {
            let json = value.to_string();
            let Err(error) = catalogue.rewrite(declared, &lock.event, lock.version, &json) else { continue };
            let text = format!(
                "an event such as {json} may be stored, and cannot be read: {error}. Mend the upcaster, or give new fields a default"
            );
            report.add(Finding::new("upcast-fails", Level::Break, Column::Stored, of, text));
            return; // one is enough to see why
        }
    }
}

/// Only a step of one version is judged, and only once: when the version has no lock file yet, this one is the newest.
fn is_needless(lock: &LockFile, declared: &Declared) -> bool {
    lock.version + 1 == declared.event_type.version
        && lock.unreadable_by(&declared.schema).is_empty()
        && misfits(&declared.schema, lock.newest(), Reader::Factstream).is_empty()
}

/// The smallest, the fullest, and some between.
pub(in crate::schema) fn values(revision: &Schema) -> Vec<Value> {
    let mut values = vec![
        sample(revision, Contract::Write, &mut |_| 0),
        sample(revision, Contract::Write, &mut |ways| ways - 1),
    ];
    for seed in 0..TRIES {
        // Numbers of a row that is the same in every run.
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        values.push(sample(revision, Contract::Write, &mut |ways| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % ways
        }));
    }
    values.dedup();
    values
}
