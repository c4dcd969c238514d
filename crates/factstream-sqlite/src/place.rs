//! Whether the files that are open are still those that their names lead to. What is written to a file that was removed or
//! replaced goes with the last process that has it open, so it must not be acknowledged (G1).

use crate::error;
use factstream_core::store::StoreError;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The database and its write-ahead log, as they were when they were opened.
pub(crate) struct Place {
    /// As it was given, from the root: a symbolic link in it may lead elsewhere some day.
    path: PathBuf,
    database: Option<Identity>,
    log_path: PathBuf,
    /// SQLite makes the log with the first write.
    log: OnceLock<Identity>,
}

impl Place {
    /// Where the database lies that was just opened.
    pub(crate) fn of(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut log_path = fs::canonicalize(&path).unwrap_or_else(|_| path.clone()).into_os_string();
        log_path.push("-wal");
        let place =
            Self { database: identity(&path).ok(), path, log_path: log_path.into(), log: OnceLock::new() };
        place.learn_log();
        place
    }

    fn learn_log(&self) {
        if self.log.get().is_none()
            && let Ok(log) = identity(&self.log_path)
        {
            let _ = self.log.set(log);
        }
    }

    /// Called after each commit, before it is acknowledged: two questions to the file system, a few hundredths of what a commit costs.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when one of the files was removed or replaced.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.learn_log();
        for (path, known) in [(&self.path, self.database.as_ref()), (&self.log_path, self.log.get())] {
            if known.is_some_and(|known| identity(path).ok().as_ref() != Some(known)) {
                return Err(error::displaced(path));
            }
        }
        Ok(())
    }
}

/// What tells a file from others, whatever it is called: the number of its device and its own.
#[derive(Debug, PartialEq, Eq)]
struct Identity(u64, u64);

/// Asks for nothing else: once a file's times have been asked for, Linux (from 6.13) gives its next write an exact one, which the next
/// fsync has to bring to the disk as well. With times, the two questions took a third of a commit.
#[cfg(target_os = "linux")]
fn identity(path: &Path) -> std::io::Result<Identity> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    use rustix::io::Errno;
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(file) => Ok(Identity(makedev(file.stx_dev_major, file.stx_dev_minor), file.stx_ino)),
        // Before Linux 4.11, and in sandboxes that do not know this question.
        Err(Errno::NOSYS | Errno::PERM) => identity_by_metadata(path),
        Err(error) => Err(error.into()),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn identity(path: &Path) -> std::io::Result<Identity> {
    identity_by_metadata(path)
}

#[cfg(unix)]
fn identity_by_metadata(path: &Path) -> std::io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|file| Identity(file.dev(), file.ino()))
}

/// Elsewhere an open file can be neither removed nor replaced.
#[cfg(not(unix))]
fn identity(path: &Path) -> std::io::Result<Identity> {
    fs::metadata(path).map(|_| Identity(0, 0))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_by_either_question_and_another_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for file in [&one, &other] {
            fs::write(file, "").unwrap();
        }
        assert_eq!(identity(&one).unwrap(), identity_by_metadata(&one).unwrap());
        assert_ne!(identity(&one).unwrap(), identity(&other).unwrap());
        assert!(identity(&folder.path().join("none")).is_err());
    }
}
