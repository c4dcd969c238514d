//! A standby takes over: with what it has, which by asynchronous replication may lack the newest commits. And a synchronous one that
//! is not waited for any more.

use crate::common::{append, connect, number, until};
use factstream_conformance::support::{appending_one, stream};
use factstream_core::params;
use factstream_core::store::{Expected, Outcome, Store, StoreError};
use factstream_postgres::{Options, PostgresStore};
use factstream_tests::postgres::Postgres;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// Appends until a server takes it; what it says until then is never the append's fault.
async fn append_in_time(store: &PostgresStore, id: &str) {
    let deadline = Instant::now() + LONG;
    while let Err(error) = store.append(append(id), None).await {
        assert!(error.is_infrastructure() && Instant::now() < deadline, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_without_the_newest_commits_is_gone_on_with_from_where_it_stands() {
    let primary = Postgres::start_own();
    let database = primary.database();
    let standby = primary.standby("standby");
    let place = |server: &Postgres| format!("127.0.0.1:{}", server.port());
    let name = database.rsplit_once('/').unwrap().1;
    // The standby comes first: whoever may be written to is looked for.
    let hosts = format!("{},{}", place(&standby), place(&primary));
    let url = format!("postgres://factstream@{hosts}/{name}?target_session_attrs=read-write");
    let store = PostgresStore::open_url(&url).await.unwrap();
    for n in 0..3 {
        store.append(appending_one("kept", Expected::Exact(n)), None).await.unwrap();
    }
    let on_standby = connect(&database.replace(&place(&primary), &place(&standby))).await;
    until(&on_standby, "SELECT count(*) FROM pg_tables WHERE tablename = 'events'", 1).await;
    until(&on_standby, "SELECT count(*) FROM events", 3).await;
    // From here on the standby is told nothing.
    on_standby.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
    on_standby.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    until(&on_standby, "SELECT count(*) FROM pg_stat_wal_receiver", 0).await;
    for n in 3..5 {
        store.append(appending_one("kept", Expected::Exact(n)), None).await.unwrap();
    }
    store.append(append("lost"), None).await.unwrap();
    assert_eq!(store.wait_beyond(5, LONG).await.unwrap(), 6);
    let history = store.history();

    primary.kill();
    on_standby.batch_execute("SELECT pg_promote(true)").await.unwrap();
    append_in_time(&store, "new").await;
    assert_ne!(store.history(), history, "whoever remembers states is told");
    let log = store.read_log(0, 100).await.unwrap();
    let positions: Vec<u64> = log.iter().map(|event| event.position).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
    assert_eq!(store.wait_beyond(3, LONG).await.unwrap(), 4);
    let waited = store.wait_beyond(5, Duration::from_millis(100)).await.unwrap();
    assert_eq!(waited, 4, "the head that was known is forgotten");
    let outcome = store.append(appending_one("kept", Expected::Exact(5)), None).await.unwrap();
    assert!(matches!(outcome, Outcome::Conflict(conflict) if conflict.actual == 3));
    store.append(appending_one("kept", Expected::Exact(3)), None).await.unwrap();
    // The fast way is found again: nothing is refused for what was known of the old server.
    for n in 4..20 {
        let done = store.append(appending_one("kept", Expected::Exact(n)), None).await.unwrap();
        assert!(matches!(done, Outcome::Appended(_)), "{done:?}");
    }
    assert_eq!(store.read_stream(&stream("kept"), 0, 100).await.unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_no_synchronous_standby_has_confirmed_is_no_success() {
    let server = Postgres::start_own();
    let url = server.database();
    let options = Options { answer_timeout: Duration::from_millis(300), ..Options::default() };
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    store.append(append("before"), None).await.unwrap();
    let admin = connect(&url).await;
    let standby = async |name: &str| {
        admin.batch_execute("SET synchronous_commit = local").await.unwrap();
        admin.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'")).await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        until(&admin, &format!("SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = '{name}'"), 1).await;
    };
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    standby("nobody").await;
    for in_transaction in [false, true] {
        let store = store.clone();
        let appending = tokio::spawn(async move {
            if in_transaction {
                let tx = store.begin().await.unwrap();
                return tx.commit(vec![append("t")]).await.map(drop);
            }
            store.append(append("s"), None).await.map(drop)
        });
        while !appending.is_finished() {
            number(&admin, cancel).await; // an impatient operator
            tokio::task::yield_now().await;
        }
        let error = appending.await.unwrap().unwrap_err();
        assert!(matches!(&error, StoreError::Unknown(_)), "{error:?}");
        assert!(error.to_string().contains("synchronous standby"), "{error}");
    }
    // A transaction without events has nothing to be asked for by.
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
    let committing = tokio::spawn(async move { tx.commit(vec![]).await.map(drop) });
    while !committing.is_finished() {
        number(&admin, cancel).await;
        tokio::task::yield_now().await;
    }
    assert!(matches!(committing.await.unwrap(), Err(StoreError::Unknown(_))));
    // Once what comes after it is confirmed, so is it.
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(append("confirmed later"), None).await }
    });
    until(&admin, "SELECT least(count(*), 1) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", 1).await;
    admin.batch_execute("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    number(&admin, cancel).await;
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    assert!(matches!(waiting.await.unwrap().unwrap(), Outcome::Appended(_)));
}
