//! The folder as it would be after a bless, beside what it is.

use super::canonical;
use super::catalogue::EventCatalogue;
use super::folder::{Folder, Sample};
use super::gates::{golden_value, sample_values};
use super::lock::{LockFile, stem};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// A file that a bless writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingFile {
    /// Its name in the folder.
    pub name: String,
    /// Its content today; `None` when it is new.
    pub before: Option<String>,
    /// Its content then.
    pub after: String,
}

impl EventCatalogue {
    /// What a bless would write.
    pub fn pending(&self, folder: &Folder) -> Vec<PendingFile> {
        let mut files = Vec::new();
        let mut samples = folder.samples.clone();
        for declared in self.recorded() {
            let event_type = declared.event_type;
            let now = LockFile::of(event_type, declared.schema.clone());
            let before = folder.locks.get(&(now.event.clone(), now.version));
            let lock = match before.cloned() {
                Some(mut lock) => {
                    lock.take(declared.schema.clone());
                    LockFile { revisions: lock.revisions, ..now }
                }
                None => now,
            };
            let stem = stem(&lock.event, lock.version);
            files.push((format!("{stem}.json"), before.map(LockFile::text), lock.text()));
            for (name, value) in new_samples(&lock, &samples) {
                let (file, json) = (format!("{stem}.{name}.json"), canonical::text(&value));
                files.push((file.clone(), None, json.clone()));
                let (event, version) = (lock.event.clone(), lock.version);
                samples.push(Sample { file, event, version, name, json, expected: None });
            }
        }
        for sample in &samples {
            if let Some(Ok(value)) = golden_value(self, sample) {
                let name = format!("{}.{}.expected.json", stem(&sample.event, sample.version), sample.name);
                files.push((name, sample.expected.as_ref().map(canonical::text), canonical::text(&value)));
            }
        }
        let pending = files.into_iter().filter(|(_, before, after)| before.as_ref() != Some(after));
        pending.map(|(name, before, after)| PendingFile { name, before, after }).collect()
    }
}

/// The smallest and the fullest value of the newest revision, where the folder has no sample with the same content.
fn new_samples(lock: &LockFile, known: &[Sample]) -> Vec<(String, Value)> {
    let of_this: Vec<&Sample> =
        known.iter().filter(|sample| sample.event == lock.event && sample.version == lock.version).collect();
    let mut names: BTreeSet<String> = of_this.iter().map(|sample| sample.name.clone()).collect();
    let mut new: Vec<(String, Value)> = Vec::new();
    for (word, value) in ["smallest", "fullest"].into_iter().zip(sample_values(lock.newest())) {
        let is_it = |json: &str| serde_json::from_str::<Value>(json).is_ok_and(|known| known == value);
        if of_this.iter().any(|sample| is_it(&sample.json)) || new.iter().any(|(_, known)| *known == value) {
            continue;
        }
        let numbered = (2_u32..).map(|number| format!("{word}-{number}"));
        let name = std::iter::once(word.to_owned()).chain(numbered).find(|name| !names.contains(name));
        let name = name.unwrap_or_default();
        names.insert(name.clone());
        new.push((name, value));
    }
    new
}

/// The lines that go and come.
impl fmt::Display for PendingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before: Vec<&str> = self.before.as_deref().unwrap_or_default().lines().collect();
        let after: Vec<&str> = self.after.lines().collect();
        writeln!(f, "{} {}", if self.before.is_some() { "changed:" } else { "new:" }, self.name)?;
        let (mut old, mut new) = (0, 0);
        for (at, to) in common(&before, &after).into_iter().chain([(before.len(), after.len())]) {
            before[old..at].iter().try_for_each(|line| writeln!(f, "  - {line}"))?;
            after[new..to].iter().try_for_each(|line| writeln!(f, "  + {line}"))?;
            (old, new) = (at + 1, to + 1);
        }
        Ok(())
    }
}

/// The places of a longest common subsequence of lines.
fn common(before: &[&str], after: &[&str]) -> Vec<(usize, usize)> {
    let mut lengths = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for (at, line) in before.iter().enumerate().rev() {
        for (to, other) in after.iter().enumerate().rev() {
            lengths[at][to] = match line == other {
                true => lengths[at + 1][to + 1] + 1,
                false => lengths[at + 1][to].max(lengths[at][to + 1]),
            };
        }
    }
    let (mut at, mut to, mut pairs) = (0, 0, Vec::new());
    while at < before.len() && to < after.len() {
        if before[at] == after[to] {
            pairs.push((at, to));
            (at, to) = (at + 1, to + 1);
        } else if lengths[at + 1][to] >= lengths[at][to + 1] {
            at += 1;
        } else {
            to += 1;
        }
    }
    pairs
}
