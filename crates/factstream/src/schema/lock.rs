//! One lock file: what was ever written of one type of event under one version.
//!
//! Invariant: its form lasts for ever. A key is only added with a default that means what files without it meant, and [`FORM`] rises
//! when an older build would misread it.

use super::canonical;
use factstream_core::event::EventType;
use factstream_core::schema::{Misfit, Reader, Schema, misfits};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The form of lock files that this build writes, and the newest that it reads.
pub const FORM: u32 = 1;

/// What was written of one type of event under one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    /// The form of the file.
    pub factstream_schema: u32,
    /// The event's name.
    pub event: String,
    /// The schema version.
    pub version: u32,
    /// Its former names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<String>,
    /// The topic that it is published to; `null` keeps it at home.
    pub topic: Option<String>,
    /// Whether it is only read, and written no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// Each shape that was written under this version, oldest first. The last is today's, or was when the version was left.
    pub revisions: Vec<Schema>,
}

impl LockFile {
    /// The lock of a type as this build declares it, with one revision.
    pub(super) fn of(event_type: &EventType, schema: Schema) -> Self {
        Self {
            factstream_schema: FORM,
            event: event_type.name.to_owned(),
            version: event_type.version,
            was: event_type.was.iter().map(|&name| name.to_owned()).collect(),
            topic: event_type.topic.map(str::to_owned),
            retired: event_type.retired,
            revisions: vec![schema],
        }
    }

    /// The file's content.
    ///
    /// # Panics
    /// Never: it is made of names and numbers.
    pub fn text(&self) -> String {
        let value = serde_json::to_value(self).expect("names and numbers can be written as JSON");
        canonical::text(&value)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(line) =
            text.lines().position(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "))
        {
            return Err(format!(
                "it has conflict marks of a merge (line {}); keep the revisions of both sides, then run the gate's test with FACTSTREAM_BLESS=1",
                line + 1
            ));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("it is not JSON ({error}); restore it from your version control"))?;
        match value.get("factstream_schema").and_then(Value::as_u64) {
            Some(form) if form > u64::from(FORM) => Err(format!(
                "it was written by a newer factstream (form {form}), and this one reads forms up to {FORM}; update factstream"
            )),
            Some(_) => {
                let lock: Self = serde_json::from_value(value).map_err(|error| {
                    format!("it is not a lock file ({error}); restore it from your version control")
                })?;
                match lock.revisions.is_empty() {
                    true => Err("it has no revisions; restore it from your version control".into()),
                    false => Ok(lock),
                }
            }
            None => {
                Err("it is not a lock file: it has no factstream_schema; move it out of this folder".into())
            }
        }
    }

    /// The shape that was written last.
    ///
    /// # Panics
    /// When it has no revisions, which [`Self::parse`] refuses.
    pub fn newest(&self) -> &Schema {
        self.revisions.last().expect("a lock file has at least one revision")
    }

    /// What some revision may have written and this reader cannot read, each misfit once.
    pub(super) fn unreadable_by(&self, reader: &Schema) -> Vec<Misfit> {
        let mut found: Vec<Misfit> = Vec::new();
        for misfit in self.revisions.iter().flat_map(|revision| misfits(revision, reader, Reader::Factstream))
        {
            if !found.contains(&misfit) {
                found.push(misfit);
            }
        }
        found
    }

    /// Takes today's shape in: in the place of the newest revision where that wrote the same, else behind it.
    pub(super) fn take(&mut self, schema: Schema) {
        if self.newest().written() == schema.written() {
            self.revisions.pop();
        }
        self.revisions.push(schema);
    }
}

/// The name of the files of a type and version, without what follows: `OrderCreated.v1`.
pub(super) fn stem(event: &str, version: u32) -> String {
    use std::fmt::Write as _;
    let mut stem = String::with_capacity(event.len() + 4);
    for (at, letter) in event.char_indices() {
        let is_special = matches!(letter, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '%');
        if is_special || at == 0 && letter == '.' {
            let _ = write!(stem, "%{:02X}", u32::from(letter));
        } else {
            stem.push(letter);
        }
    }
    let _ = write!(stem, ".v{version}");
    stem
}
