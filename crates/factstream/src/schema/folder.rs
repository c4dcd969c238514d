//! The folder of lock files, samples and waivers, from a disk or from another revision of it.

use super::lock::{LockFile, stem};
use super::waivers::{self, Waiver};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Another revision cannot be read.
    #[error("the schema folder at {revision} cannot be read: {reason}")]
    Revision {
        /// Which.
        revision: String,
        /// Why.
        reason: String,
    },
}

/// A golden sample: an event as it was once written, and what it is today.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Its file.
    pub file: String,
    /// The type.
    pub event: String,
    /// The version in which it was written.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// The event's JSON, to the letter.
    pub json: String,
    /// What it is after upcasting and reading, written again; `None` before the first bless.
    pub expected: Option<Value>,
}

/// Lock files, samples and waivers.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    pub(super) path: PathBuf,
    pub(super) locks: BTreeMap<(String, u32), LockFile>,
    pub(super) samples: Vec<Sample>,
    pub(super) waivers: Vec<Waiver>,
}

impl Folder {
    /// Reads a folder. One that does not exist is empty. A relative path begins at the package under test, or where the process runs.
    ///
    /// # Errors
    /// [`FolderError`], which names the file and says what to do.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FolderError> {
        let path = located(path.as_ref());
        let at = |source| FolderError::Io { path: path.display().to_string(), source };
        let mut files = BTreeMap::new();
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::of_files(&path, files),
            Err(error) => return Err(at(error)),
        };
        for entry in entries {
            let entry = entry.map_err(at)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_passed_over(&name) {
                continue;
            }
            let text = std::fs::read_to_string(entry.path())
                .map_err(|source| FolderError::Io { path: entry.path().display().to_string(), source })?;
            files.insert(name, text);
        }
        Self::of_files(&path, files)
    }

    /// The folder with these files.
    pub(super) fn of_files(path: &Path, files: BTreeMap<String, String>) -> Result<Self, FolderError> {
        let mut folder = Self { path: path.to_owned(), ..Self::default() };
        let wrong = |name: &str, reason: String| FolderError::File {
            path: path.join(name).display().to_string(),
            reason,
        };
        let mut others = Vec::new();
        for (name, text) in &files {
            if name == waivers::FILE {
                folder.waivers = waivers::parse(text).map_err(|reason| wrong(name, reason))?;
            } else if is_lock(name) {
                let lock = LockFile::parse(text).map_err(|reason| wrong(name, reason))?;
                let own_name = format!("{}.json", stem(&lock.event, lock.version));
                if own_name != *name {
                    let reason = format!("it is the lock of {own_name}; give it that name");
                    return Err(wrong(name, reason));
                }
                folder.locks.insert((lock.event.clone(), lock.version), lock);
            } else {
                others.push(name);
            }
        }
        for name in others {
            folder.take_sample(name, &files).map_err(|reason| wrong(name, reason))?;
        }
        Ok(folder)
    }

    fn take_sample(&mut self, name: &str, files: &BTreeMap<String, String>) -> Result<(), String> {
        let unknown = || {
            "it belongs to no locked event; the folder holds Event.v1.json, Event.v1.sample.json, Event.v1.sample.expected.json and waivers.toml. Move it elsewhere"
                .to_owned()
        };
        let bare = name.strip_suffix(".json").ok_or_else(unknown)?;
        let of = self.locks.keys().find_map(|(event, version)| {
            let rest = bare.strip_prefix(&stem(event, *version))?.strip_prefix('.')?;
            Some((event.clone(), *version, rest.to_owned()))
        });
        let (event, version, sample) = of.ok_or_else(unknown)?;
        if let Some(of) = sample.strip_suffix(".expected") {
            let has_sample = files.contains_key(&format!("{}.{of}.json", stem(&event, version)));
            return match has_sample {
                true => Ok(()),
                false => Err(format!("there is no sample {of} that it is expected of; delete it")),
            };
        }
        let json = files.get(name).cloned().unwrap_or_default();
        serde_json::from_str::<Value>(&json).map_err(|error| format!("it is not JSON: {error}"))?;
        let expected = files.get(&format!("{bare}.expected.json"));
        let expected = expected.map(|text| serde_json::from_str(text)).transpose();
        let expected = expected.map_err(|error| format!("its .expected.json is not JSON: {error}"))?;
        self.samples.push(Sample { file: name.to_owned(), event, version, name: sample, json, expected });
        Ok(())
    }

    /// The lock files, by name and version.
    pub fn locks(&self) -> impl Iterator<Item = &LockFile> {
        self.locks.values()
    }

    /// The golden samples.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The waivers.
    pub fn waivers(&self) -> &[Waiver] {
        &self.waivers
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A relative path begins at the package under test, where cargo says which that is.
fn located(path: &Path) -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) if path.is_relative() => PathBuf::from(package).join(path),
        _ => path.to_owned(),
    }
}

/// Files that say something to people or to other tools.
pub(super) fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name == "README.md"
}

/// `Event.v1.json`, and not a sample of it.
fn is_lock(name: &str) -> bool {
    let Some((_, version)) = name.strip_suffix(".json").and_then(|bare| bare.rsplit_once(".v")) else {
        return false;
    };
    !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_digit())
}
