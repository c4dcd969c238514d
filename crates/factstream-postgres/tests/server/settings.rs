//! What a session needs is ours to set, whatever the role, the database or the server has as its default; what cannot be had is
//! refused with what to do.

use crate::common::{append, connect, log, refused};
use factstream_core::params;
use factstream_core::store::{Commit, Outcome, Store, StoreError};
use factstream_postgres::PostgresStore;
use factstream_tests::postgres::server;
use std::time::{Duration, Instant};

async fn setting(store: &PostgresStore, name: &str) -> String {
    let mut tx = store.begin().await.unwrap();
    let rows = tx.query(&format!("SHOW {name}"), params![]).await.unwrap();
    rows[0].at(0).unwrap()
}

fn name(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_isolation_of_the_role_or_database_gets_in_the_way() {
    for isolation in ["serializable", "repeatable read"] {
        let url = server().database();
        server()
            .run(&format!("ALTER DATABASE {} SET default_transaction_isolation = '{isolation}'", name(&url)));
        let store = PostgresStore::open_url(&url).await.unwrap();
        assert_eq!(setting(&store, "transaction_isolation").await, "read committed");
        connect(&url)
            .await
            .batch_execute("CREATE TABLE met (n BIGINT); INSERT INTO met VALUES (0)")
            .await
            .unwrap();
        let writers: Vec<_> = (0..16)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    for round in 0..5 {
                        let done = store.append(append(&format!("{n}-{round}")), None).await.unwrap();
                        assert!(matches!(done, Outcome::Appended(_)), "{done:?}");
                        let mut tx = store.begin().await.unwrap();
                        tx.execute("UPDATE met SET n = n + 1", params![]).await.unwrap();
                        let done = tx.commit(vec![append(&format!("{n}-{round}-b"))]).await.unwrap();
                        assert!(matches!(done, Commit::Committed(_)), "{done:?}");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(log(&store).await.len(), 16 * 5 * 2);
    }
}

#[tokio::test]
async fn durability_is_never_less_than_ours_and_more_is_kept() {
    for (of_database, found) in [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")] {
        let url = server().database();
        server().run(&format!("ALTER DATABASE {} SET synchronous_commit = {of_database}", name(&url)));
        let store = PostgresStore::open_url(&url).await.unwrap();
        assert_eq!(setting(&store, "synchronous_commit").await, found, "{of_database}");
    }
}

#[tokio::test]
async fn the_urls_own_settings_are_in_force_and_those_that_are_none_are_refused() {
    let url = server().database();
    connect(&url).await.batch_execute("CREATE SCHEMA own").await.unwrap();
    let options = "options=-c%20search_path%3Down%20--work-mem%3D7MB%20-c%20synchronous_commit%3Doff";
    let store = PostgresStore::open_url(&format!("{url}?{options}")).await.unwrap();
    for (name, value) in [("search_path", "own"), ("work_mem", "7MB"), ("synchronous_commit", "on")] {
        assert_eq!(setting(&store, name).await, value);
    }
    let error = refused(&format!("{url}?options=-c%20no_such%3D1")).await.to_string();
    assert!(error.contains("no_such"), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    server().run("DROP DATABASE IF EXISTS latin");
    server().run("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    let latin = format!("{}/latin", server().database().rsplit_once('/').unwrap().0);
    let error = refused(&latin).await.to_string();
    assert!(error.contains("LATIN1") && error.contains("ENCODING 'UTF8'"), "{error}");
}

#[tokio::test]
async fn a_role_that_may_not_make_tables_is_told_the_grant_to_run() {
    let url = server().database();
    server().run("DROP ROLE IF EXISTS guest");
    server().run("CREATE ROLE guest LOGIN");
    connect(&url).await.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
    let error = refused(&url.replace("factstream@", "guest@")).await.to_string();
    assert!(error.contains("GRANT USAGE, CREATE ON SCHEMA public TO"), "{error}");
}

/// A store of a role that may have so many connections does all that a store does, many times at once.
async fn works_with(role: &str, limit: usize, more: &str) {
    let url = server().database();
    server().run(&format!("DROP ROLE IF EXISTS {role}"));
    server().run(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit}"));
    connect(&url).await.batch_execute("GRANT ALL ON SCHEMA public TO PUBLIC").await.unwrap();
    let url = format!("{}{more}", url.replace("factstream@", &format!("{role}@")));
    let store = PostgresStore::open_url(&url).await.unwrap();
    let work: Vec<_> = (0..40)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store.append(append(&format!("{n}")), None).await?;
                let tx = store.begin().await?;
                tx.commit(vec![append(&format!("{n}-b"))]).await?;
                store.read_log(0, 10).await
            })
        })
        .collect();
    for done in work {
        done.await.unwrap().unwrap();
    }
    assert_eq!(log(&store).await.len(), 80);
    assert_eq!(store.wait_beyond(79, Duration::from_secs(5)).await.unwrap(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_with_few_connections_is_made_do_with() {
    works_with("few_six", 6, "").await;
    works_with("few_four", 4, "?connections=4").await;
    server().run("DROP ROLE IF EXISTS few_two");
    server().run("CREATE ROLE few_two LOGIN CONNECTION LIMIT 2");
    let error = refused(&server().database().replace("factstream@", "few_two@")).await.to_string();
    assert!(error.contains("connections=N") && error.contains("CONNECTION LIMIT"), "{error}");
}

#[tokio::test]
async fn a_server_that_turns_read_only_is_not_the_statements_fault_and_is_gone_back_to() {
    let url = server().database();
    let store = PostgresStore::open_url(&url).await.unwrap();
    let read_only = |on: &str| {
        server().run(&format!("ALTER DATABASE {} SET default_transaction_read_only = {on}", name(&url)));
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
        server().run(&format!("{end} '{}'", name(&url)));
    };
    read_only("on");
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        let error = store.append(append("a"), None).await.unwrap_err();
        assert!(error.is_infrastructure() && Instant::now() < deadline, "{error}");
        if matches!(error, StoreError::Unavailable { .. }) {
            break error.to_string();
        }
    };
    assert!(error.contains("target_session_attrs=read-write"), "{error}");
    let mut tx = store.begin().await.unwrap();
    let error = tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    drop(tx);
    read_only("off");
    while let Err(error) = store.append(append("a"), None).await {
        assert!(error.is_infrastructure() && Instant::now() < deadline, "{error}");
    }
    let error = store.query("INSERT INTO events DEFAULT VALUES", params![]).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Statement { .. }),
        "where only reads are run, a write is wrong: {error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_sets_does_not_reach_the_next_one() {
    let store = PostgresStore::open_url(&format!("{}?transactions=1", server().database())).await.unwrap();
    let pid = || async {
        let mut tx = store.begin().await.unwrap();
        let rows = tx.query("SELECT pg_backend_pid()::bigint", params![]).await.unwrap();
        assert!(matches!(tx.commit(vec![]).await.unwrap(), Commit::Committed(_)));
        rows[0].at::<i64>(0).unwrap()
    };
    let before = setting(&store, "work_mem").await;
    for control in ["SET work_mem = '111kB'", "/* x */ COMMIT", "; /* a /* b */ */ rollback", "RESET ALL"] {
        let mut tx = store.begin().await.unwrap();
        tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap();
        let error = tx.execute(control, params![]).await.unwrap_err();
        assert!(error.to_string().contains("not allowed here"), "{control}: {error}");
        drop(tx);
        assert!(
            store.query("SELECT n FROM t", params![]).await.is_err(),
            "{control} has ended the transaction"
        );
    }
    for local in ["true", "false"] {
        let mut tx = store.begin().await.unwrap();
        tx.query(&format!("SELECT set_config('work_mem', '111kB', {local})"), params![]).await.unwrap();
        assert!(matches!(tx.commit(vec![]).await.unwrap(), Commit::Committed(_)));
        assert_eq!(setting(&store, "work_mem").await, before, "set_config(.., {local})");
    }
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TEMP TABLE kept (n BIGINT)", params![]).await.unwrap();
    assert!(matches!(tx.commit(vec![]).await.unwrap(), Commit::Committed(_)));
    let mut tx = store.begin().await.unwrap();
    assert!(
        tx.query("SELECT n FROM kept", params![]).await.is_err(),
        "a temporary table reaches the next transaction"
    );
    drop(tx);
    let calm = pid().await;
    assert_eq!(pid().await, calm, "a transaction that leaves nothing behind gives its connection back");
}
