//! What must not fail a build for now: a finding by its code, with a reason, until a date.

use super::report::{Column, Finding, Report};
use factstream_core::schema::Level;
use jiff::civil::Date;
use serde::Deserialize;

/// The file of waivers.
pub(super) const FILE: &str = "waivers.toml";

/// One finding, or several alike, that are known and let pass until a date.
///
/// ```toml
/// [[waiver]]
/// code = "variant-unknown"
/// event = "InventoryUpdated"
/// column = "wire"            # optional, as are version and path
/// reason = "every consumer reads the new reason since 2.3"
/// until = "2027-01-31"
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Waiver {
    /// The finding's code.
    pub code: String,
    /// The event that it is about.
    pub event: String,
    /// Only in this version.
    pub version: Option<u32>,
    /// Only for this reader.
    pub column: Option<Column>,
    /// Only at this place.
    pub path: Option<String>,
    /// Why it may pass.
    pub reason: String,
    /// The last day on which it counts, as 2027-01-31.
    pub until: Date,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    waiver: Vec<Waiver>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Waiver>, String> {
    let File { waiver } = toml::from_str(text).map_err(|error| {
        format!(
            "{error}\na waiver is [[waiver]] with code, event, reason and until (\"2027-01-31\"), and where wanted version, column and path"
        )
    })?;
    match waiver.iter().find(|waiver| waiver.reason.trim().is_empty()) {
        Some(Waiver { code, event, .. }) => {
            Err(format!("the waiver of {code} for {event} has no reason; give it one"))
        }
        None => Ok(waiver),
    }
}

impl Waiver {
    /// Whether it is about this finding.
    pub(super) fn covers(&self, finding: &Finding) -> bool {
        self.code == finding.code
            && self.event == finding.event
            && self.version.is_none_or(|version| version == finding.version)
            && self.column.is_none_or(|column| column == finding.column)
            && self.path.as_ref().is_none_or(|path| *path == finding.path)
    }
}

impl Report {
    /// Applies the waivers: those that have expired, or meet nothing, are findings themselves.
    pub(super) fn waive(&mut self, waivers: &[Waiver], today: Date) {
        for waiver in waivers {
            let mut covered = false;
            for finding in self.findings.iter_mut().filter(|finding| waiver.covers(finding)) {
                covered = true;
                if waiver.until >= today {
                    finding.waived = Some(format!("{} (until {})", waiver.reason, waiver.until));
                }
            }
            let (code, level, text) = match covered {
                true if waiver.until >= today => continue,
                true => (
                    "waiver-expired",
                    Level::Break,
                    format!(
                        "the waiver of {} expired on {}; mend what it covers, or set a new date",
                        waiver.code, waiver.until
                    ),
                ),
                false => (
                    "waiver-unused",
                    Level::Warn,
                    format!("the waiver of {} covers nothing any more; delete it", waiver.code),
                ),
            };
            let mut finding =
                Finding::new(code, level, Column::Lock, (&waiver.event, waiver.version.unwrap_or(0)), text);
            finding.file = FILE.into();
            self.add(finding);
        }
        self.findings.sort_by_key(|finding| {
            (
                !finding.fails(),
                finding.level == Level::Warn,
                finding.column,
                finding.event.clone(),
                finding.version,
            )
        });
    }
}
