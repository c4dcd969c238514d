//! The disk that the store is on: in memory, and full when told so. It is mounted in a namespace of the harness and its
//! children only: it is gone with them, however they end.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether somebody has made room.
const LOOK: Duration = Duration::from_millis(20);

/// A disk of its own.
pub(crate) struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one on this folder, for this process's own eyes. For that it must not have other threads yet.
    pub(crate) fn mount(folder: &Path) -> nix::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let nothing = None::<&str>;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        let in_memory = |folder: &Path, options| {
            mount(Some("storm"), folder, Some("tmpfs"), MsFlags::empty(), Some(options))
        };
        in_memory(folder, "size=50%,mode=0755")?;
        in_memory(Path::new("/dev/shm"), "mode=1777")?; // what killed processes leave there goes, too
        Ok(Self { folder: folder.to_owned() })
    }

    /// It is full for so long: as small as what is on it.
    pub(crate) fn fill(&self, time: Duration) {
        let healed = Instant::now() + time;
        let mut was_full = false;
        while Instant::now() < healed {
            was_full |= self.resize(&format!("size={}", self.used())).is_ok() && self.is_full();
            thread::sleep(LOOK);
        }
        self.resize("size=50%").expect("a disk can be made larger");
        println!("          the disk was {}", if was_full { "full" } else { "never quite full" });
    }

    fn used(&self) -> u64 {
        let stat = statvfs(&self.folder).expect("the disk is there");
        (stat.blocks() - stat.blocks_free()) * stat.fragment_size()
    }

    fn is_full(&self) -> bool {
        statvfs(&self.folder).is_ok_and(|stat| stat.blocks_free() == 0)
    }

    /// Refused when it would be smaller than what is on it.
    fn resize(&self, size: &str) -> nix::Result<()> {
        mount(None::<&str>, &self.folder, None::<&str>, MsFlags::MS_REMOUNT, Some(size))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.folder, MntFlags::MNT_DETACH);
    }
}
