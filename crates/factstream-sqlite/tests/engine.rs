//! What is SQLite's own: durability settings, group commit, indexes, the native connection, several processes.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_conformance::support::appending_one;
use factstream_core::params;
use factstream_core::store::{Append, Expected, Outcome, Store, StoreError, Transaction};
use factstream_sqlite::{Options, SqliteStore, SqliteTransaction};
use std::time::Duration;
use tempfile::tempdir;

fn append(id: &str) -> Append {
    appending_one(id, Expected::Any)
}

fn native(tx: &mut Box<dyn Transaction>) -> &mut SqliteTransaction {
    tx.as_any().downcast_mut().unwrap()
}

#[tokio::test]
async fn the_writer_is_durable_and_foreign_keys_hold() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for (pragma, wanted) in
        [("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1"), ("mmap_size", "0")]
    {
        let found = native(&mut tx).with(move |connection| {
            connection.pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0))
        });
        let found = match found.await.unwrap() {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, wanted, "{pragma}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_wait_together_are_committed_together() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    // While a transaction is open, appends have to wait; its end lets all of them go in one commit.
    let tx = store.begin().await.unwrap();
    let waiting: Vec<_> = (0..64)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append(&format!("{n}")), None).await })
        })
        .collect();
    while waiting.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    let wal = || std::fs::metadata(dir.path().join("s.db-wal")).unwrap().len() / 4_096;
    let before = wal();
    drop(tx);
    for task in waiting {
        assert!(matches!(task.await.unwrap().unwrap(), Outcome::Appended(_)));
    }
    // One commit writes each page once: 64 commits of one event would have written at least 4 pages each.
    let pages = wal() - before;
    assert!(pages < 2 * 64, "{pages} pages were written");
    assert_eq!(store.read_log(0, 100).await.unwrap().len(), 64);
}

#[tokio::test]
async fn hot_statements_use_an_index() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    for statement in [
        include_str!("../sql/select_version.sql"),
        include_str!("../sql/select_stream.sql"),
        include_str!("../sql/select_log.sql"),
    ] {
        let sql = statement.replace('?', "$");
        let given = (1..=4)
            .filter(|n| {
                sql.contains(&format!("> ${n}"))
                    || sql.contains(&format!("= ${n}"))
                    || sql.contains(&format!("LIMIT ${n}"))
            })
            .count();
        let sql = format!(
            "EXPLAIN QUERY PLAN {}",
            sql.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join(" ")
        );
        let plan = store.query(&sql, vec![1.into(); given]).await.unwrap();
        for step in plan {
            let detail: String = step.get("detail").unwrap();
            assert!(detail.starts_with("SEARCH"), "{detail} in {sql}");
        }
    }
}

#[tokio::test]
async fn a_transaction_past_its_time_is_rolled_back_and_says_so_and_the_writer_goes_on() {
    let dir = tempdir().unwrap();
    let options = Options { transaction_time_limit: Duration::from_millis(100), ..Options::default() };
    let store = SqliteStore::open_with(dir.path().join("s.db"), options).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
    // A statement that would run for ever is interrupted.
    let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
    let error = tx.query(endless, params![]).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    let error = tx.commit(vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    assert!(matches!(store.append(append("a"), None).await.unwrap(), Outcome::Appended(_)));
    assert!(store.query("SELECT * FROM t", params![]).await.is_err(), "it was rolled back");
}

#[tokio::test]
async fn a_users_own_commit_or_rollback_is_refused_and_a_panic_is_an_error() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for sql in ["COMMIT", "  rollback", "-- a note\nBEGIN", "PRAGMA synchronous = OFF", "ATTACH 'x' AS y"] {
        let error = tx.execute(sql, params![]).await.unwrap_err().to_string();
        assert!(error.contains("not allowed here"), "{sql}: {error}");
    }
    let error = native(&mut tx).with(|_| -> rusqlite::Result<()> { panic!("told to") }).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    // Whoever gets round that through the native connection is told, and no commit is reported that did not happen.
    let ended = native(&mut tx).with(|connection| connection.execute_batch("ROLLBACK")).await.unwrap_err();
    assert!(ended.to_string().contains("has ended"), "{ended}");
    assert!(tx.commit(vec![]).await.is_err());
    assert!(matches!(store.append(append("a"), None).await.unwrap(), Outcome::Appended(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stores_may_open_one_new_file_at_once() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let opening: Vec<_> = (0..8)
        .map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(&path).await?;
                store.append(append(&format!("{n}")), None).await
            })
        })
        .collect();
    for task in opening {
        assert!(matches!(task.await.unwrap().unwrap(), Outcome::Appended(_)));
    }
    let log = SqliteStore::open(&path).await.unwrap().read_log(0, 100).await.unwrap();
    assert_eq!(log.iter().map(|event| event.position).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_writes_without_a_pause_leaves_room_to_another() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let (busy, other) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing: Vec<_> = (0..4)
        .map(|n| {
            let (busy, stop) = (busy.clone(), stop.clone());
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    busy.append(append(&format!("busy-{n}")), None).await.unwrap();
                    let tx = busy.begin().await.unwrap();
                    tx.commit(vec![append(&format!("busy-tx-{n}"))]).await.unwrap();
                    written += 2;
                }
                written
            })
        })
        .collect();
    let mut longest = Duration::ZERO;
    for n in 0..30 {
        let started = std::time::Instant::now();
        other.append(append(&format!("other-{n}")), None).await.unwrap();
        longest = longest.max(started.elapsed());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut written = 30;
    for task in writing {
        written += task.await.unwrap();
    }
    println!("the longest wait was {longest:?} beside {written} commits");
    assert!(longest < Duration::from_secs(3), "{longest:?}");
    assert_eq!(busy.read_log(0, 1_000_000).await.unwrap().len(), written);
}
