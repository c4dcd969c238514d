//! News from other processes: a notification is a hint that comes soon, polling is what it is never without.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{append, connect, number, until};
use factstream_core::store::Store;
use factstream_postgres::{AppendedIn, Options, PostgresStore};
use factstream_tests::postgres::server;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const LISTENERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                         AND application_name = 'factstream listener' AND query LIKE '%head%' AND state = 'idle'";

/// Polls so rarely that only a hint can be in time.
fn rarely() -> Options {
    let rare = Duration::from_secs(5);
    Options { poll_interval: rare, poll_interval_listening: rare, ..Options::default() }
}

/// Waits for news beyond a position before it is made; it comes long before the next look.
async fn hears(store: &PostgresStore, beyond: u64, act: impl Future<Output = ()>) {
    let mut waiting = pin!(store.wait_beyond(beyond, Duration::from_secs(30)));
    assert!(timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "nothing is new");
    let start = Instant::now();
    act.await;
    assert_eq!(waiting.await.unwrap(), beyond + 1);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_hears_of_appends_and_commits_long_before_it_would_look() {
    let url = server().database();
    let here = PostgresStore::open_with(&url, rarely()).await.unwrap();
    let there = PostgresStore::open_with(&url, rarely()).await.unwrap();
    let mut foreign = connect(&url).await;
    until(&foreign, LISTENERS, 2).await;
    for round in 0..5 {
        let seen = 5 * round;
        hears(&there, seen, async { drop(here.append(append("a"), None).await.unwrap()) }).await;
        let commit = async { drop(here.begin().await.unwrap().commit(vec![append("b")]).await.unwrap()) };
        hears(&there, seen + 1, commit).await;
        let own = async {
            let tx = foreign.transaction().await.unwrap();
            assert!(matches!(here.append_in(&tx, vec![append("c")]).await.unwrap(), AppendedIn::Appended(_)));
            tx.commit().await.unwrap();
        };
        // Here, too, that commit is heard of only.
        hears(if round % 2 == 0 { &here } else { &there }, seen + 2, own).await;
        // Two that follow closely: the first is announced at once, the second a little later.
        let two = async {
            here.append(append("d"), None).await.unwrap();
            here.append(append("e"), None).await.unwrap();
        };
        hears(&there, seen + 4, two).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_ended_again_and_again_is_replaced_and_polling_goes_on() {
    let url = server().database();
    let here = PostgresStore::open_url(&url).await.unwrap();
    let options = Options { poll_interval_listening: Duration::from_secs(20), ..Options::default() };
    let there = PostgresStore::open_with(&url, options).await.unwrap();
    let admin = connect(&url).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'factstream listener'";
    let (mut ended, mut seen) = (0, 0);
    let start = Instant::now();
    while ended < 8 {
        // Had any wait been for the listener, it would have taken its 20 s.
        assert!(start.elapsed() < Duration::from_secs(18), "{ended} ended");
        ended += number(&admin, end).await;
        here.append(append("a"), None).await.unwrap();
        let head = there.wait_beyond(seen, Duration::from_secs(10)).await.unwrap();
        assert_eq!(head, seen + 1);
        seen = head;
    }
    until(&admin, LISTENERS, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_that_lies_is_not_believed() {
    let url = server().database();
    let store = PostgresStore::open_url(&url).await.unwrap();
    let admin = connect(&url).await;
    until(&admin, LISTENERS, 1).await;
    let lie = "SELECT pg_notify('factstream_' || 'fs_log'::regclass::oid, payload) \
               FROM unnest(ARRAY['999999', 'nonsense', '', '-1']) AS payload";
    admin.batch_execute(lie).await.unwrap();
    assert_eq!(store.wait_beyond(0, Duration::from_millis(300)).await.unwrap(), 0);
    store.append(append("a"), None).await.unwrap();
    assert_eq!(store.wait_beyond(0, Duration::from_secs(10)).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_dropped_leaves_no_listener_and_one_without_hints_has_none() {
    let url = server().database();
    let admin = connect(&url).await;
    let store = PostgresStore::open_url(&url).await.unwrap();
    until(&admin, LISTENERS, 1).await;
    drop(store);
    until(&admin, LISTENERS, 0).await;
    let silent =
        PostgresStore::open_with(&url, Options { hints: false, ..Options::default() }).await.unwrap();
    silent.append(append("a"), None).await.unwrap();
    assert_eq!(number(&admin, LISTENERS).await, 0);
}
