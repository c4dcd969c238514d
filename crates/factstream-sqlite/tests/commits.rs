//! How appends become commits: counted in the write-ahead log itself, and shared by two stores on one file.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_conformance::support::{appending_one, stream};
use factstream_core::store::{Append, CommandKey, Expected, Outcome, Store, StoreError};
use factstream_sqlite::SqliteStore;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;
use tempfile::tempdir;

const LONG: Duration = Duration::from_secs(20);

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// The commits in the write-ahead log: each ends in a frame that says how many pages the database has then, and only
/// frames with the salt of the header count (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).
fn commits(path: &Path) -> usize {
    let wal = std::fs::read(wal_of(path)).unwrap();
    let number = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    let frame = 24 + number(8) as usize;
    (32..wal.len().saturating_sub(frame - 1))
        .step_by(frame)
        .take_while(|at| wal[at + 8..at + 16] == wal[16..24])
        .filter(|at| number(at + 4) != 0)
        .count()
}

type Appending = Pin<Box<dyn Future<Output = Result<Outcome, StoreError>> + Send>>;

/// Puts an append into the writer's queue, and gives back what waits for its answer.
fn queued(store: &SqliteStore, append: Append, key: Option<CommandKey>) -> Appending {
    let store = store.clone();
    let waiting = async move { store.append(append, key).await };
    let mut waiting: Appending = Box::pin(tokio::task::unconstrained(waiting));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    waiting
}

#[tokio::test]
async fn appends_that_wait_together_are_one_commit_and_one_that_waits_alone_is_one() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let before = commits(&path);
    for n in 0..10 {
        store.append(appending_one(&format!("alone-{n}"), Expected::Any), None).await.unwrap();
    }
    assert_eq!(commits(&path) - before, 10, "what is acknowledged is committed before the next is asked for");
    let tx = store.begin().await.unwrap();
    let before = commits(&path);
    let waiting: Vec<_> =
        (0..64).map(|n| queued(&store, appending_one(&format!("{n}"), Expected::Any), None)).collect();
    drop(tx);
    for answer in waiting {
        assert!(matches!(answer.await.unwrap(), Outcome::Appended(_)));
    }
    assert_eq!(commits(&path) - before, 1, "64 appends waited together");
}

#[tokio::test]
async fn an_append_holds_no_task_up_while_another_process_writes() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    // One at a time: they are committed in this task by now, where the disk is quick.
    for n in 0..50 {
        store.append(appending_one(&format!("alone-{n}"), Expected::Exact(0)), None).await.unwrap();
    }
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = queued(&store, appending_one("behind", Expected::Exact(0)), None);
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(waiting.await.unwrap(), Outcome::Appended(_)));
}

#[tokio::test]
async fn an_append_that_is_refused_in_a_batch_does_not_touch_its_neighbours() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("s.db")).await.unwrap();
    let mut twice = appending_one("first", Expected::Exact(0));
    store.append(twice.clone(), None).await.unwrap();
    twice.stream = stream("same-event-id");
    let key = |fingerprint: &str| Some(CommandKey::new("k-1", fingerprint).unwrap());
    let tx = store.begin().await.unwrap();
    let answers = vec![
        queued(&store, appending_one("a", Expected::Exact(0)), key("make a")),
        queued(&store, appending_one("a", Expected::Exact(1)), None), // chained to its neighbour
        queued(&store, appending_one("a", Expected::Exact(1)), None), // lost to it
        queued(&store, twice, None),                                  // breaks the statement
        queued(&store, appending_one("a", Expected::Exact(9)), key("make a")),
        queued(&store, appending_one("b", Expected::Exact(0)), key("make b")),
        queued(&store, appending_one("c", Expected::Exact(0)), None),
    ];
    drop(tx);
    let mut found = Vec::new();
    for answer in answers {
        found.push(match answer.await {
            Ok(Outcome::Appended(done)) => format!("{} {} {}", done.stream, done.version, done.position),
            Ok(Outcome::Repeated(done)) => format!("repeated {} {}", done.stream, done.position),
            Ok(Outcome::Conflict(conflict)) => conflict.to_string(),
            Ok(Outcome::KeyReused { first_used_for, .. }) => format!("used to {first_used_for}"),
            Err(StoreError::Statement { message, .. }) => message,
            Err(other) => panic!("{other}"),
        });
    }
    assert_eq!(
        found,
        [
            "conformance/a 1 2",
            "conformance/a 2 3",
            "stream conformance/a is at version 2, not 1",
            "UNIQUE constraint failed: events.event_id",
            "repeated conformance/a 2",
            "used to make a",
            "conformance/c 1 4",
        ]
    );
    let log = store.read_log(0, 100).await.unwrap();
    assert_eq!(log.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_file_make_one_log_without_gaps_and_lose_no_conflict() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let stores = [SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap()];
    let mut tasks = Vec::new();
    for (which, store) in stores.iter().enumerate() {
        for task in 0..4 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                let (mut won, mut version) = (0u64, 0);
                for n in 0..50 {
                    let own = appending_one(&format!("{which}-{task}-{n}"), Expected::Exact(0));
                    assert!(matches!(store.append(own, None).await.unwrap(), Outcome::Appended(_)));
                    // All eight fight for this one.
                    match store.append(appending_one("shared", Expected::Exact(version)), None).await.unwrap()
                    {
                        Outcome::Appended(done) => (won, version) = (won + 1, done.version),
                        Outcome::Conflict(conflict) => version = conflict.actual,
                        other => panic!("{other:?}"),
                    }
                }
                won
            }));
        }
    }
    let mut won = 0;
    for task in tasks {
        won += tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    }
    let log = stores[0].read_log(0, 10_000).await.unwrap();
    let positions: Vec<_> = log.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=8 * 50 + won).collect::<Vec<_>>());
    let shared: Vec<_> = log.iter().filter(|event| event.aggregate_id == "shared").collect();
    assert_eq!(shared.iter().map(|event| event.version).collect::<Vec<_>>(), (1..=won).collect::<Vec<_>>());
    assert_eq!(stores[1].read_log(0, 10_000).await.unwrap(), log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_of_another_store_on_the_file_comes_while_somebody_waits() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let (here, there) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let here = here.clone();
            tokio::spawn(async move { here.wait_beyond(0, LONG).await })
        })
        .collect();
    there.append(appending_one("a", Expected::Any), None).await.unwrap();
    for waiter in waiting {
        assert_eq!(waiter.await.unwrap().unwrap(), 1);
    }
    assert_eq!(here.wait_beyond(1, Duration::ZERO).await.unwrap(), 1, "without news it ends with its time");
}

#[tokio::test]
async fn what_was_accepted_before_the_last_handle_went_is_still_committed() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let tx = store.begin().await.unwrap();
    let waiting: Vec<_> =
        (0..20).map(|n| queued(&store, appending_one(&format!("{n}"), Expected::Any), None)).collect();
    drop(store);
    drop(tx);
    for answer in waiting {
        assert!(matches!(answer.await.unwrap(), Outcome::Appended(_)));
    }
    let again = SqliteStore::open(&path).await.unwrap();
    assert_eq!(again.read_log(0, 100).await.unwrap().len(), 20);
}
