//! Events in a transaction that the user's own code began with tokio-postgres.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{append, connect, log, number};
use factstream_conformance::support::appending_one;
use factstream_core::store::{Append, Expected, Outcome, Store, StoreError};
use factstream_postgres::{AppendedIn, Options, PostgresStore};
use factstream_tests::postgres::server;
use tokio_postgres::{Client, IsolationLevel};

const ROWS: &str = "SELECT count(*) FROM mine";
const EVENTS: &str = "SELECT count(*) FROM events";

async fn store_and_client() -> (PostgresStore, Client, String) {
    let url = server().database();
    let store = PostgresStore::open_url(&url).await.unwrap();
    let client = connect(&url).await;
    client.batch_execute("CREATE TABLE mine (id TEXT PRIMARY KEY)").await.unwrap();
    (store, client, url)
}

#[tokio::test]
async fn the_users_rows_and_the_events_commit_together_or_not_at_all() {
    let (store, mut client, _) = store_and_client().await;
    for (commits, there) in [(false, 0), (true, 1)] {
        let tx = client.transaction().await.unwrap();
        tx.execute("INSERT INTO mine VALUES ('a')", &[]).await.unwrap();
        let done = store.append_in(&tx, vec![append("a"), append("b"), append("a")]).await.unwrap();
        let AppendedIn::Appended(appended) = done else { panic!("{done:?}") };
        assert_eq!(appended.iter().map(|one| one.version).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(appended.iter().map(|one| one.position).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(store.read_log(0, 10).await.unwrap().is_empty(), "not before the commit");
        if commits {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        assert_eq!((number(&client, ROWS).await, number(&client, EVENTS).await), (there, 3 * there));
    }
    assert_eq!(log(&store).await.len(), 3);
}

#[tokio::test]
async fn a_conflict_is_told_and_leaves_the_transaction_and_the_log_free_to_go_on() {
    let (store, mut client, _) = store_and_client().await;
    store.append(append("a"), None).await.unwrap();
    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO mine VALUES ('a')", &[]).await.unwrap();
    let appends = || vec![append("b"), appending_one("a", Expected::Exact(0))];
    let AppendedIn::Conflict(conflict) = store.append_in(&tx, appends()).await.unwrap() else { panic!() };
    assert_eq!((conflict.expected, conflict.actual), (0, 1));
    // The log's lock is free again, although the transaction is open.
    store.append(append("c"), None).await.unwrap();
    let again = vec![appending_one("a", Expected::Exact(1))];
    assert!(matches!(store.append_in(&tx, again).await.unwrap(), AppendedIn::Appended(_)));
    tx.commit().await.unwrap();
    assert_eq!((number(&client, ROWS).await, log(&store).await.len()), (1, 3));
}

#[tokio::test]
async fn an_event_that_the_database_refuses_leaves_the_transaction_as_it_was() {
    let (store, mut client, _) = store_and_client().await;
    let twice = append("a");
    store.append(twice.clone(), None).await.unwrap();
    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO mine VALUES ('a')", &[]).await.unwrap();
    let error = store.append_in(&tx, vec![append("b"), twice]).await.unwrap_err();
    assert!(matches!(error, StoreError::Statement { .. }), "{error}");
    store.append_in(&tx, vec![append("b")]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((number(&client, ROWS).await, log(&store).await.len()), (1, 2));
}

#[tokio::test]
async fn a_snapshot_that_is_too_old_is_told_as_transient() {
    let (store, mut client, _) = store_and_client().await;
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        let tx = client.build_transaction().isolation_level(level).start().await.unwrap();
        tx.query("SELECT 1 FROM mine", &[]).await.unwrap();
        store.append(append("a"), None).await.unwrap();
        let error = store.append_in(&tx, vec![append("a")]).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        tx.rollback().await.unwrap();
        let tx = client.build_transaction().isolation_level(level).start().await.unwrap();
        assert!(matches!(store.append_in(&tx, vec![append("a")]).await.unwrap(), AppendedIn::Appended(_)));
        tx.commit().await.unwrap();
    }
    assert_eq!(log(&store).await.len(), 4);
}

#[tokio::test]
async fn a_transaction_on_another_log_is_refused_and_commits_are_durable() {
    let (store, mut client, url) = store_and_client().await;
    let other_url = server().database();
    PostgresStore::open_url(&other_url).await.unwrap();
    let mut other = connect(&other_url).await;
    let tx = other.transaction().await.unwrap();
    let error = store.append_in(&tx, vec![append("a")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }) && error.to_string().contains("another"), "{error}");
    drop(tx);
    client.batch_execute("CREATE SCHEMA elsewhere; SET search_path = elsewhere").await.unwrap();
    let tx = client.transaction().await.unwrap();
    assert!(store.append_in(&tx, vec![append("a")]).await.is_err());
    drop(tx);
    let mut fast = connect(&url).await;
    fast.batch_execute("SET synchronous_commit = off").await.unwrap();
    let tx = fast.transaction().await.unwrap();
    store.append_in(&tx, vec![append("a")]).await.unwrap();
    let waits: String = tx.query_one("SHOW synchronous_commit", &[]).await.unwrap().get(0);
    assert_eq!(waits, "on");
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_transactions_beside_appends_and_the_stores_transactions_leave_no_gap() {
    let (store, _, url) = store_and_client().await;
    let mut tasks = Vec::new();
    for task in 0..9 {
        let (store, url) = (store.clone(), url.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = connect(&url).await;
            let appends =
                |n: usize| -> Vec<Append> { vec![append(&format!("{task}")), append(&format!("s{n}"))] };
            for n in 0..40 {
                match task % 3 {
                    0 => {
                        let done = store.append(append(&format!("{task}")), None).await.unwrap();
                        assert!(matches!(done, Outcome::Appended(_)));
                    }
                    1 => drop(store.begin().await.unwrap().commit(appends(n)).await.unwrap()),
                    _ => {
                        let tx = client.transaction().await.unwrap();
                        tx.execute("INSERT INTO mine VALUES ($1)", &[&format!("{task}-{n}")]).await.unwrap();
                        store.append_in(&tx, appends(n)).await.unwrap();
                        // Every fourth changes its mind.
                        if n % 4 == 0 { tx.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(log(&store).await.len(), 3 * 40 + 3 * 80 + 3 * 60);
    assert_eq!(number(&connect(&url).await, ROWS).await, 90);
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_and_leaves_the_transaction_as_it_was() {
    let url = server().database();
    let options = Options { event_bytes_max: 2_000, ..Options::default() };
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    let mut client = connect(&url).await;
    client.batch_execute("CREATE TABLE mine (id TEXT PRIMARY KEY)").await.unwrap();
    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO mine VALUES ('a')", &[]).await.unwrap();
    let mut large = append("a");
    large.events[0].data = format!("{{\"text\":\"{}\"}}", "x".repeat(2_000)).into();
    let refused = store.append_in(&tx, vec![append("b"), large]).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("event_bytes_max") && !refused.is_infrastructure(), "{text}");
    // The log's lock was never taken, and what fits goes in.
    store.append(append("c"), None).await.unwrap();
    assert!(matches!(store.append_in(&tx, vec![append("b")]).await.unwrap(), AppendedIn::Appended(_)));
    tx.commit().await.unwrap();
    assert_eq!((number(&client, ROWS).await, log(&store).await.len()), (1, 2));
}
