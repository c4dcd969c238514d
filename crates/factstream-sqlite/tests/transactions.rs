//! What a transaction may do with the only writer there is: its time, its end, and what it may not say.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_conformance::support::appending_one;
use factstream_core::params;
use factstream_core::store::{Append, Commit, Expected, Outcome, Store, StoreError, Transaction};
use factstream_sqlite::{Options, SqliteStore, SqliteTransaction};
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};

/// A statement that would run for ever.
const ENDLESS: &str =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
/// Far more than the time limit of these tests, far less than for ever.
const PATIENCE: Duration = Duration::from_secs(20);

fn append(id: &str) -> Append {
    appending_one(id, Expected::Any)
}

async fn store_with_limit(limit: Duration) -> (TempDir, SqliteStore) {
    let dir = tempdir().unwrap();
    let options = Options { transaction_time_limit: limit, ..Options::default() };
    let store = SqliteStore::open_with(dir.path().join("s.db"), options).await.unwrap();
    (dir, store)
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it ends long before the patience does")
}

fn native(tx: &mut Box<dyn Transaction>) -> &mut SqliteTransaction {
    tx.as_any().downcast_mut().unwrap()
}

async fn assert_goes_on(store: &SqliteStore) {
    let outcome = in_time(store.append(append("after"), None)).await.unwrap();
    assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
}

#[tokio::test]
async fn after_a_statement_ran_out_of_time_the_commit_says_so_and_nothing_is_stored() {
    let (_dir, store) = store_with_limit(Duration::from_millis(100)).await;
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
    let error = in_time(tx.query(ENDLESS, params![])).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    let error = in_time(tx.commit(vec![append("a")])).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    assert!(store.query("SELECT * FROM t", params![]).await.is_err(), "it was rolled back");
    assert_eq!(store.read_log(0, 10).await.unwrap(), vec![]);
    assert_goes_on(&store).await;
}

#[tokio::test]
async fn a_kept_handle_does_not_keep_the_writer_after_its_time() {
    let (_dir, store) = store_with_limit(Duration::from_millis(100)).await;
    let mut tx = store.begin().await.unwrap();
    assert!(in_time(tx.query(ENDLESS, params![])).await.is_err());
    assert_goes_on(&store).await;
    let error = tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    drop(tx);
}

#[tokio::test]
async fn an_idle_transaction_is_rolled_back_when_its_time_is_over() {
    let (_dir, store) = store_with_limit(Duration::from_millis(100)).await;
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
    assert_goes_on(&store).await;
    let error = tx.commit(vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    assert!(store.query("SELECT * FROM t", params![]).await.is_err(), "it was rolled back");
}

#[tokio::test]
async fn a_statement_whose_caller_gave_up_is_stopped_by_the_time_limit_too() {
    let (_dir, store) = store_with_limit(Duration::from_millis(300)).await;
    let mut tx = store.begin().await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(20), tx.query(ENDLESS, params![])).await;
    assert!(given_up.is_err(), "the caller gave up first");
    let error = in_time(tx.commit(vec![append("a")])).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut { .. }), "{error}");
    assert_eq!(store.read_log(0, 10).await.unwrap(), vec![]);
    assert_goes_on(&store).await;
}

#[tokio::test]
async fn dropping_a_transaction_stops_its_statement_at_once() {
    let (_dir, store) = store_with_limit(Duration::from_secs(600)).await;
    let mut tx = store.begin().await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(20), tx.query(ENDLESS, params![])).await;
    assert!(given_up.is_err(), "the caller gave up first");
    drop(tx);
    assert_goes_on(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_dropped_late_disturbs_nobody_elses_work() {
    let (_dir, store) = store_with_limit(Duration::from_millis(30)).await;
    for round in 0..10 {
        let mut late = store.begin().await.unwrap();
        assert!(in_time(late.query(ENDLESS, params![])).await.is_err());
        // The writer is someone else's by now, while the late one is dropped.
        let others: Vec<_> = (0..50)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move { store.append(append(&format!("{round}-{n}")), None).await })
            })
            .collect();
        drop(late);
        for other in others {
            let outcome = in_time(other).await.unwrap().unwrap();
            assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn control_behind_comments_is_refused_before_it_takes_effect() {
    let (_dir, store) = store_with_limit(Duration::from_secs(30)).await;
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
    for sql in [
        "/* a note */ COMMIT",
        "/* one */ /* two\nlines */ -- three\n commit",
        ";COMMIT",
        "\n\t ; /* x */ ; END",
        "PRAGMA query_only = 1",
    ] {
        let error = tx.execute(sql, params![]).await.unwrap_err().to_string();
        assert!(error.contains("not allowed here"), "{sql:?}: {error}");
        let error = tx.query(sql, params![]).await.unwrap_err().to_string();
        assert!(error.contains("not allowed here"), "{sql:?}: {error}");
    }
    // What only begins alike is no control, and the transaction is as usable as before.
    tx.execute("/* COMMIT */ INSERT INTO t VALUES ($1)", params![1]).await.unwrap();
    assert_eq!(tx.query("-- END\nSELECT n FROM t", params![]).await.unwrap().len(), 1);
    assert!(matches!(tx.commit(vec![]).await.unwrap(), Commit::Committed(_)));
}

#[tokio::test]
async fn executing_what_answers_with_rows_is_refused_before_it_writes() {
    let (_dir, store) = store_with_limit(Duration::from_secs(30)).await;
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
    let error = tx.execute("INSERT INTO t VALUES ($1) RETURNING n", params![1]).await.unwrap_err();
    assert!(error.to_string().contains("use query"), "{error}");
    assert_eq!(tx.query("SELECT n FROM t", params![]).await.unwrap().len(), 0, "it wrote all the same");
    let rows = tx.query("INSERT INTO t VALUES ($1) RETURNING n", params![2]).await.unwrap();
    assert_eq!(rows[0].get::<i64>("n").unwrap(), 2);
}

#[tokio::test]
async fn a_rule_broken_at_the_commit_rolls_back_rows_and_events() {
    let (_dir, store) = store_with_limit(Duration::from_secs(30)).await;
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE p (id BIGINT PRIMARY KEY)", params![]).await.unwrap();
    let child = "CREATE TABLE c (p BIGINT REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)";
    tx.execute(child, params![]).await.unwrap();
    tx.commit(vec![]).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute("INSERT INTO c VALUES ($1)", params![7]).await.unwrap();
    let error = tx.commit(vec![append("a")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Statement { .. }), "{error}");
    assert_eq!(store.query("SELECT * FROM c", params![]).await.unwrap().len(), 0);
    assert_eq!(store.read_log(0, 10).await.unwrap(), vec![]);
    assert_goes_on(&store).await;
    assert_eq!(store.read_log(0, 10).await.unwrap()[0].position, 1, "no position was lost with it");
}

#[tokio::test]
async fn a_panic_in_native_access_is_an_error_and_what_was_written_can_still_be_dropped() {
    let (_dir, store) = store_with_limit(Duration::from_secs(30)).await;
    let mut tx = store.begin().await.unwrap();
    let panicked = native(&mut tx).with(|connection| -> rusqlite::Result<()> {
        connection.execute_batch("CREATE TABLE t (n BIGINT)")?;
        panic!("told to")
    });
    let error = panicked.await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    drop(tx);
    assert!(store.query("SELECT * FROM t", params![]).await.is_err());
    assert_goes_on(&store).await;
}

#[tokio::test]
async fn a_begin_that_is_given_up_while_it_waits_holds_nobody_up() {
    let (_dir, store) = store_with_limit(Duration::from_secs(600)).await;
    let first = store.begin().await.unwrap();
    for _ in 0..10 {
        let waiting = tokio::time::timeout(Duration::from_millis(1), store.begin()).await;
        assert!(waiting.is_err(), "there is one writer");
    }
    let began = Instant::now();
    drop(first);
    assert_goes_on(&store).await;
    assert!(began.elapsed() < PATIENCE);
}
