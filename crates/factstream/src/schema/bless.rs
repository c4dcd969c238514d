//! Writing the folder: today's shapes, samples of them, and what samples become.
//!
//! Invariant: a break is not blessed. What cannot be read stays visible until it is mended or waived, so a rewritten folder hides
//! nothing that a review would not see.

use super::catalogue::EventCatalogue;
use super::folder::{Folder, FolderError};
use super::gates::today;
use super::pending::PendingFile;
use super::report::{Finding, Report};
use std::path::{Path, PathBuf};

/// Why the folder was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlessError {
    /// The folder cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Something breaks that a lock file would hide.
    #[error(
        "nothing was written: mend what breaks, or waive it in waivers.toml (code, event, reason, until)\n{0}"
    )]
    Breaks(Report),
}

impl EventCatalogue {
    /// Brings the folder up to date, and says which files were written.
    ///
    /// # Errors
    /// [`BlessError::Breaks`] when something breaks that is not waived: then nothing is written.
    pub fn bless(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>, BlessError> {
        let folder = Folder::read(folder)?;
        let mut report = self.differences(&folder);
        report.waive(&folder.waivers, today());
        report.findings.retain(Finding::fails);
        if !report.findings.is_empty() {
            return Err(BlessError::Breaks(report));
        }
        let mut written = Vec::new();
        for PendingFile { name, after, .. } in self.pending(&folder) {
            let path = folder.path.join(name);
            let at = |source| FolderError::Io { path: path.display().to_string(), source };
            std::fs::create_dir_all(&folder.path).map_err(at)?;
            std::fs::write(&path, after).map_err(at)?;
            written.push(path);
        }
        Ok(written)
    }
}
