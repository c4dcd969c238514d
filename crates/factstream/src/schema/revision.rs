//! The folder as it was in another revision of the repository.

use super::folder::{Folder, FolderError, is_passed_over};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

impl Folder {
    /// The folder as it was in a revision, such as `origin/main`. One that did not exist then is empty.
    ///
    /// # Errors
    /// [`FolderError::Revision`] when git does not know the revision or is not there, and as [`Folder::read`].
    pub fn at_revision(path: impl AsRef<Path>, revision: &str) -> Result<Self, FolderError> {
        let folder = Self::read(path)?.path;
        let refused = |reason: String| FolderError::Revision { revision: revision.to_owned(), reason };
        let inside = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("."));
        if revision.starts_with('-') {
            return Err(refused("a revision does not begin with '-'".into()));
        }
        let git = |arguments: &[&str]| -> Result<Vec<u8>, FolderError> {
            let done = Command::new("git").arg("-C").arg(inside).args(arguments).output();
            let done = done.map_err(|error| refused(format!("git cannot be run: {error}")))?;
            match done.status.success() {
                true => Ok(done.stdout),
                false => Err(refused(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
            }
        };
        let commit = format!("{revision}^{{commit}}");
        let commit = git(&["rev-parse", "--verify", "--quiet", &commit]).map_err(|_| {
            refused(
                "it is not known here; fetch it first (a shallow clone has only its newest commit)".into(),
            )
        })?;
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        let mut files = BTreeMap::new();
        if inside != folder {
            return Self::of_files(&folder, files);
        }
        let listed = git(&["ls-tree", "-z", "--name-only", &commit, "./"])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        for name in listed.split('\0').filter(|name| !name.is_empty() && !is_passed_over(name)) {
            let text = git(&["show", &format!("{commit}:./{name}")])?;
            files.insert(name.to_owned(), String::from_utf8_lossy(&text).into_owned());
        }
        Self::of_files(&folder, files)
    }
}
