//! Whether this build reads all that was ever locked, and who else is hurt by what changed.

use super::super::catalogue::{Declared, EventCatalogue};
use super::super::folder::Folder;
use super::super::lock::LockFile;
use super::super::report::{Column, Finding, Report};
use super::older;
use factstream_core::schema::{Level, Reader, misfits};

const STORED: &str = "Events that are stored cannot be read: give the field a default or an alias, or raise the version and add an upcaster";
const WIRE: &str = "Older consumers on the topic set such events aside, and their keys wait: deploy the consumers first and waive this until then";
const FOREIGN: &str =
    "Other programs that read this topic are hurt: tell their teams, and waive this until they are ready";

pub(super) fn check(catalogue: &EventCatalogue, folder: &Folder, report: &mut Report) {
    for lock in folder.locks.values() {
        let of = (lock.event.as_str(), lock.version);
        let mut is_declared = false;
        for declared in catalogue.declarations_of(&lock.event) {
            is_declared = true;
            stored(catalogue, lock, declared, report);
        }
        if let Some(recorder) = catalogue.recorder_of(&lock.event) {
            if is_newest(folder, lock, recorder) {
                consumers(lock, recorder, report);
            }
        } else if !is_declared && !catalogue.decoder().drops(&lock.event) {
            let text = "events of this type may be stored, and this build does not know it. Keep its variant with #[event(retired)], say what it is called now with #[event(was = [..])], or pass it over with Upcasters::drop";
            report.add(Finding::new("event-unknown", Level::Break, Column::Stored, of, text));
        }
    }
}

/// Whether it is the last that an earlier build wrote of this event.
fn is_newest(folder: &Folder, lock: &LockFile, recorder: &Declared) -> bool {
    let of_this_event = folder.locks.values().filter(|other| recorder.is_called(&other.event));
    let newest = of_this_event.max_by_key(|other| (other.version, other.event == recorder.event_type.name));
    newest == Some(lock)
}

/// What is stored, read by this build.
fn stored(catalogue: &EventCatalogue, lock: &LockFile, declared: &Declared, report: &mut Report) {
    let (of, event_type) = ((lock.event.as_str(), lock.version), declared.event_type);
    let by =
        if declared.is_recorded { String::new() } else { format!(" (read by {})", event_type.declared_by) };
    if lock.version > event_type.version {
        let text = format!(
            "the folder knows version {}, and this build writes {}{by}: the build is older than the folder, or the version was lowered. Versions only rise",
            lock.version, event_type.version
        );
        report.add(Finding::new("version-lowered", Level::Break, Column::Stored, of, text));
    } else if lock.version < event_type.since {
        let text = format!(
            "since = {} says that no store has version {} any more{by}. If schema verify counts none in every store, delete this lock file and its samples; else lower since",
            event_type.since, lock.version
        );
        report.add(Finding::new("version-given-up", Level::Break, Column::Stored, of, text));
    } else if lock.version < event_type.version {
        older::check(catalogue, lock, declared, report);
    } else {
        for misfit in lock.unreadable_by(&declared.schema) {
            let mut finding = Finding::of_misfit(Column::Stored, of, &misfit, STORED);
            finding.text.push_str(&by);
            report.add(finding);
        }
    }
}

/// What this build writes, read by others.
fn consumers(lock: &LockFile, recorder: &Declared, report: &mut Report) {
    let (of, event_type) = ((lock.event.as_str(), lock.version), recorder.event_type);
    let Some(topic) = &lock.topic else { return };
    if event_type.retired {
        return;
    }
    let mut add = |code, level, column, text: String| report.add(Finding::new(code, level, column, of, text));
    if event_type.topic != Some(topic.as_str()) {
        let now = event_type.topic.map_or("stays at home".to_owned(), |topic| format!("goes to {topic}"));
        for column in [Column::Wire, Column::Foreign] {
            let text = format!(
                "it was published to {topic}, and {now}: consumers of {topic} are given no more of it. Deploy consumers of both, and waive this until then"
            );
            add("topic-changed", Level::Break, column, text);
        }
    }
    if event_type.name != lock.event {
        for column in [Column::Wire, Column::Foreign] {
            let text = format!(
                "it is published as {} now: an older consumer skips it. Deploy consumers that know both names, and waive this until then",
                event_type.name
            );
            add("event-renamed", Level::Break, column, text);
        }
    }
    if event_type.version > lock.version {
        let text = format!(
            "version {} is published now: an older consumer sets such events aside, and their keys wait until it is deployed",
            event_type.version
        );
        add("version-raised", Level::Warn, Column::Wire, text);
        let text = format!(
            "version {} is published now; other programs are not told what changed",
            event_type.version
        );
        add("version-raised", Level::Warn, Column::Foreign, text);
        return;
    }
    let before = lock.newest();
    for (column, by, advice) in
        [(Column::Wire, Reader::Factstream, WIRE), (Column::Foreign, Reader::Foreign, FOREIGN)]
    {
        for misfit in misfits(&recorder.schema, before, by) {
            report.add(Finding::of_misfit(column, of, &misfit, advice));
        }
    }
}

/// What was locked before, and is no more.
pub(super) fn removed(folder: &Folder, before: &Folder, report: &mut Report) {
    for (key, lock) in &before.locks {
        let of = (lock.event.as_str(), lock.version);
        let Some(now) = folder.locks.get(key) else {
            let text = "its lock file was deleted: nothing proves any more that such events can be read. Restore it, or waive this if no store has any (schema verify counts them)";
            report.add(Finding::new("lock-removed", Level::Break, Column::Lock, of, text));
            continue;
        };
        let is_kept = |revision: &factstream_core::schema::Schema| {
            now.revisions.iter().any(|kept| kept.written() == revision.written())
        };
        if !lock.revisions.iter().all(is_kept) {
            let text = "a revision was taken out of its lock file: what was written then is not compared any more. Restore it";
            report.add(Finding::new("revision-removed", Level::Break, Column::Lock, of, text));
        }
    }
}
