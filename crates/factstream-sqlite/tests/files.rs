//! Files that are no store, are damaged, cannot be written, or run full: a clear error, and nothing lost.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_conformance::support::{appending, event, stream};
use factstream_core::params;
use factstream_core::store::{Append, Expected, Outcome, Store, StoreError};
use factstream_sqlite::SqliteStore;
use std::path::Path;
use std::process::Command;
use tempfile::tempdir;

fn append(id: &str, bytes: usize) -> Append {
    appending(&stream(id), Expected::Any, vec![event(format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)))])
}

async fn refused(path: &Path) -> String {
    match SqliteStore::open(path).await {
        Err(error @ (StoreError::Unusable { .. } | StoreError::Newer { .. })) => error.to_string(),
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("{} was opened", path.display()),
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_as_it_was() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("text.db"), "this is not a database, it is a shopping list. ".repeat(100)).unwrap();
    let foreign = rusqlite::Connection::open(at("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE customers (id TEXT); INSERT INTO customers VALUES ('c-1')").unwrap();
    drop(foreign);
    for (name, words) in [
        ("text.db", "is not a SQLite database"),
        ("foreign.db", "another application's database"),
        ("", "it is a folder"),
        ("no/such/folder/orders.db", "does not exist; make it first"),
    ] {
        let before = std::fs::read(at(name)).ok();
        let error = refused(&at(name)).await;
        assert!(error.contains(words), "{name}: {error}");
        assert_eq!(std::fs::read(at(name)).ok(), before, "{name} was changed");
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_store_and_a_damaged_one_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("orders.db");
    std::fs::write(&path, "").unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 0..200 {
        store.append(append(&format!("{n}"), 500), None).await.unwrap();
    }
    drop(store);
    // The pages in the middle are overwritten; those of the log may be still in the write-ahead log: fold it in first.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = match SqliteStore::open(&path).await {
        Err(error) => error.to_string(),
        Ok(store) => store.read_log(0, 1_000).await.unwrap_err().to_string(),
    };
    assert!(error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_store_of_a_newer_factstream_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("orders.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("INSERT INTO fs_migrations VALUES ('store', 99, '2030-01-01')", []).unwrap();
    drop(connection);
    let error = refused(&path).await;
    assert!(error.contains("newer factstream") && error.contains("99"), "{error}");
}

/// A small filesystem of its own, where that can be mounted.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempdir().unwrap();
        let args = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        let mounted = Command::new("mount").args(args).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        println!("SKIPPED: a small filesystem cannot be mounted here (it needs root)");
        None
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &option]).arg(self.dir.path()).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_loses_nothing_and_is_recovered_from() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let path = disk.dir.path().join("orders.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match store.append(append(&format!("{acknowledged}"), 20_000), None).await {
            Ok(Outcome::Appended(_)) => acknowledged += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Disk(_)), "{error}");
    assert!(error.is_transient() && acknowledged > 0);
    // A transaction meets it too, and never reports a commit that did not happen.
    let mut tx = store.begin().await.unwrap();
    let filled = tx.execute("CREATE TABLE big AS SELECT zeroblob(4000000) AS bytes", params![]).await;
    assert!(filled.is_err());
    assert!(tx.commit(Vec::new()).await.is_err());
    let log = store.read_log(0, 10_000).await.unwrap();
    assert_eq!(log.len(), acknowledged, "what was acknowledged is there, and nothing else");
    disk.remount("size=20m");
    let appended = store.append(append("after", 20_000), None).await.unwrap();
    assert!(matches!(appended, Outcome::Appended(done) if done.position == acknowledged as u64 + 1));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_at_once() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let path = disk.dir.path().join("orders.db");
    drop(SqliteStore::open(&path).await.unwrap());
    // The writer's thread may still be closing the file, and a busy file cannot be made read-only.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !Command::new("mount").args(["-o", "remount,ro"]).arg(disk.dir.path()).status().unwrap().success() {
        assert!(std::time::Instant::now() < deadline, "the filesystem stays busy");
        tokio::task::yield_now().await;
    }
    let error = refused(&path).await;
    assert!(error.contains("cannot be written") || error.contains("cannot be opened"), "{error}");
}

/// An append to a file that nobody will find again must not be acknowledged; nor a transaction.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_removed_or_replaced_under_a_running_process_takes_no_append() {
    for displace in [
        |path: &Path| std::fs::remove_file(path).unwrap(),
        |path: &Path| std::fs::rename(path, path.with_extension("moved")).unwrap(),
        |path: &Path| {
            std::fs::copy(path, path.with_extension("copy")).unwrap();
            std::fs::rename(path.with_extension("copy"), path).unwrap();
        },
        |path: &Path| std::fs::remove_file(format!("{}-wal", path.display())).unwrap(),
    ] {
        let dir = tempdir().unwrap();
        let path = dir.path().join("orders.db");
        let store = SqliteStore::open(&path).await.unwrap();
        assert!(matches!(store.append(append("a", 1), None).await, Ok(Outcome::Appended(_))));
        displace(&path);
        for _ in 0..2 {
            let error = store.append(append("b", 1), None).await.unwrap_err();
            assert!(
                error.is_infrastructure() && error.to_string().contains("removed or replaced"),
                "{error}"
            );
            let mut tx = store.begin().await.unwrap();
            tx.execute("CREATE TABLE IF NOT EXISTS t (n BIGINT)", params![]).await.unwrap();
            let error = tx.commit(vec![append("c", 1)]).await.unwrap_err();
            assert!(error.to_string().contains("removed or replaced"), "{error}");
        }
    }
}
