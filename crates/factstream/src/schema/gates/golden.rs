//! Golden samples: events as they were once written become what is expected of them.

use super::super::catalogue::EventCatalogue;
use super::super::folder::{Folder, Sample};
use super::super::report::{Column, Finding, Report};
use factstream_core::schema::Level;
use serde_json::Value;

pub(super) fn check(catalogue: &EventCatalogue, folder: &Folder, report: &mut Report) {
    for sample in &folder.samples {
        let of = (sample.event.as_str(), sample.version);
        let found = match (read(catalogue, sample), &sample.expected) {
            (None, _) => continue,
            (Some(Err(reason)), _) => ("golden-unreadable", Column::Stored, reason),
            (Some(Ok(_)), None) => {
                let text = "what it becomes is not written down; run the gate's test with FACTSTREAM_BLESS=1";
                ("golden-new", Column::Lock, text.to_owned())
            }
            (Some(Ok(value)), Some(expected)) if value == *expected => continue,
            (Some(Ok(value)), Some(expected)) => {
                let text = format!(
                    "it becomes {value}, and {expected} is expected. If the new value is right, run the gate's test with FACTSTREAM_BLESS=1"
                );
                ("golden-changed", Column::Lock, text)
            }
        };
        let (code, column, text) = found;
        let mut finding =
            Finding::new(code, Level::Break, column, of, format!("the sample {}: {text}", sample.name));
        finding.file.clone_from(&sample.file);
        report.add(finding);
    }
}

/// What a sample is today; `None` where no aggregate records it.
pub(in crate::schema) fn read(catalogue: &EventCatalogue, sample: &Sample) -> Option<Result<Value, String>> {
    let declared = catalogue.recorder_of(&sample.event)?;
    let rewritten = catalogue.rewrite(declared, &sample.event, sample.version, &sample.json);
    Some(rewritten.map_err(|error| error.to_string()).and_then(|json| {
        serde_json::from_str(&json).map_err(|error| format!("what it is written as is not JSON: {error}"))
    }))
}
