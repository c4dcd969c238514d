//! A SQLite file on a disk that turns read-only while the services run: what Linux does to a file system with errors.

use super::url;
use factstream_tests::client::{Client, order};
use factstream_tests::eventually;
use factstream_tests::process::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, in a file of 64 MB.
struct Disk {
    folder: PathBuf,
    device: String,
}

impl Disk {
    /// `None` where no such thing can be made: it takes root's rights and a loop device.
    fn make(image: &Path, folder: &Path) -> Option<Self> {
        std::fs::File::create(image).unwrap().set_len(64 * 1024 * 1024).unwrap();
        let run = |program: &str, args: &[&str]| {
            let output =
                Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let image = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-F", image])?;
        let device = run("losetup", &["-f", "--show", image])?;
        let disk = Self { folder: folder.to_owned(), device };
        run("mount", &["-t", "ext4", "-o", "errors=remount-ro", &disk.device, folder.to_str().unwrap()])?;
        Some(disk)
    }

    /// Tells it that it has an error.
    fn turn_read_only(&self) {
        let device = Path::new(&self.device).file_name().unwrap();
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        std::fs::write(trigger, "1").expect("the kernel takes an error of the test's");
        assert!(std::fs::write(self.folder.join("probe"), "x").is_err(), "the disk can still be written");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
    }
}

#[test]
fn a_sqlite_store_that_turns_read_only_is_answered_with_503_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let Some(disk) = Disk::make(&dir.path().join("image"), &folder) else {
        eprintln!("not tried: a file system of the test's own takes root's rights and a loop device");
        return;
    };
    let mut service = Server::start(&url(&folder.join("orders.db")), &[]);
    let client = Client::new(&service.url);
    client.stock("SKU-1", 10);
    let placed = client.place("SKU-1", 1);
    eventually("it settles", || client.is_settled());

    disk.turn_read_only();
    for key in ["k-1", "k-1", "k-2"] {
        let answer = client.post("/orders", &order("c-1", "SKU-1", 1), Some(key)).unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        let detail = answer.body["detail"].to_string();
        assert!(detail.contains("the store cannot write") && detail.contains("mend the disk"), "{detail}");
    }
    let read = client.get(&format!("/orders/{}", placed[0])).unwrap();
    assert_eq!(read.status, 200, "what is there can be read: {read:?}");
    assert_eq!(client.get("/livez").unwrap().status, 200);
    let status = client.status();
    for handler in status["handlers"].as_array().unwrap() {
        assert_eq!(handler["dead_letters"].as_u64().unwrap_or(0), 0, "no event is blamed: {status}");
    }
    assert!(!service.has_ended(), "it waits for the disk");
    service.kill();
}
