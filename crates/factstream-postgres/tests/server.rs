//! What is PostgreSQL's own: connections that are lost, processes that start together, addresses that are wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;
#[path = "server/pooled.rs"]
mod pooled;
#[path = "server/settings.rs"]
mod settings;
#[path = "server/silence.rs"]
mod silence;
#[path = "server/standby.rs"]
mod standby;

use common::{append, connect, until};
use factstream_core::params;
use factstream_core::store::{Outcome, Store, StoreError};
use factstream_postgres::{Options, PostgresStore, PostgresTransaction};
use factstream_tests::postgres::server;
use std::time::{Duration, Instant};

/// Ends every other connection to the database, as a restart of the server does.
async fn cut_connections(url: &str) -> u64 {
    let client = connect(url).await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0).cast_unsigned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_again_and_again_lose_nothing_and_double_nothing() {
    let url = server().database();
    let store = PostgresStore::open_url(&url).await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut acknowledged, mut refused) = (Vec::new(), 0);
                for n in 0..100 {
                    let wanted = append(&format!("{writer}-{n}"));
                    let id = wanted.events[0].event_id;
                    match store.append(wanted, None).await {
                        Ok(Outcome::Appended(_)) => acknowledged.push(id),
                        Ok(other) => panic!("{other:?}"),
                        Err(error) => {
                            assert!(error.is_transient(), "{error}");
                            refused += 1;
                        }
                    }
                }
                (acknowledged, refused)
            })
        })
        .collect();
    let mut cut = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        cut += cut_connections(&url).await;
    }
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for writer in writers {
        let (own, own_refused) = writer.await.unwrap();
        acknowledged.extend(own);
        refused += own_refused;
    }
    println!("{cut} connections cut, {} appends acknowledged, {refused} refused", acknowledged.len());
    assert!(cut > 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    let log = loop {
        match store.read_log(0, 10_000).await {
            Ok(log) => break log,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error}"),
        }
    };
    for (position, event) in (1..).zip(&log) {
        assert_eq!(event.position, position, "no gap");
    }
    for id in &acknowledged {
        assert_eq!(log.iter().filter(|event| event.event_id == *id).count(), 1, "{id}");
    }
    // What was refused was either not stored, or told to be unknown; never stored twice.
    assert!(log.len() >= acknowledged.len() && log.len() <= 800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_may_open_a_new_database_at_once() {
    let url = server().database();
    let opening: Vec<_> = (0..8)
        .map(|n| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = PostgresStore::open_url(&url).await?;
                store.append(append(&format!("{n}")), None).await
            })
        })
        .collect();
    for task in opening {
        assert!(matches!(task.await.unwrap().unwrap(), Outcome::Appended(_)));
    }
}

#[tokio::test]
async fn a_wrong_address_says_what_is_wrong_and_never_the_password() {
    let good = server().database();
    let with = |from: &str, to: &str| good.replace(from, to);
    let missing = format!("{}_missing", with("factstream@", "factstream:s3cret@"));
    for (url, words) in [
        ("postgres://", "postgres://USER"),
        ("postgres://u:s3cret@127.0.0.1", "no database"),
        ("postgres://u:s3cret@127.0.0.1:1/x", "cannot be reached"),
        (missing.as_str(), "does not exist"),
        (&with("factstream@", "nobody:s3cret@"), "nobody"),
        (&format!("{good}?sslmode=require"), "TLS"),
    ] {
        let error = PostgresStore::open_url(url).await.err().unwrap().to_string();
        assert!(error.contains(words), "{url}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_store_of_a_newer_factstream_is_refused() {
    let url = server().database();
    let store = PostgresStore::open_url(&url).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute("INSERT INTO fs_migrations VALUES ('store', 99, 'later')", params![]).await.unwrap();
    tx.commit(vec![]).await.unwrap();
    let error = PostgresStore::open_url(&url).await.err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn the_native_connection_is_within_the_transaction() {
    let url = server().database();
    let store = PostgresStore::open_url(&url).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let native: &mut PostgresTransaction = tx.as_any().downcast_mut().unwrap();
    native
        .client()
        .unwrap()
        .batch_execute("CREATE TABLE mine (n BIGINT); INSERT INTO mine VALUES (1)")
        .await
        .unwrap();
    drop(tx);
    assert!(store.query("SELECT * FROM mine", params![]).await.is_err(), "it was rolled back");
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_ended_and_the_store_goes_on() {
    let url = server().database();
    let options = Options { transaction_time_limit: Duration::from_millis(200), ..Options::default() };
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    assert!(tx.query("SELECT pg_sleep(60)", params![]).await.is_err());
    assert!(tx.commit(vec![]).await.is_err(), "a failed transaction never reports a commit");
    assert!(matches!(store.append(append("a"), None).await.unwrap(), Outcome::Appended(_)));
}

#[tokio::test]
async fn a_transaction_that_stands_idle_for_too_long_is_its_own_fault_and_not_the_stores() {
    let url = server().database();
    let limit = Duration::from_millis(200);
    let options = Options { transaction_time_limit: limit, ..Options::default() };
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    let observer = connect(&url).await;
    for appends in [None, Some(vec![]), Some(vec![append("a")])] {
        let mut tx = store.begin().await.unwrap();
        tx.query("SELECT 1", params![]).await.unwrap();
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
        until(&observer, idle, 1).await;
        until(&observer, idle, 0).await; // the server has ended it
        let error = match appends {
            Some(appends) => tx.commit(appends).await.unwrap_err(),
            None => tx.query("SELECT 1", params![]).await.unwrap_err(),
        };
        assert!(matches!(error, StoreError::TimedOut { .. }) && !error.is_infrastructure(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_sits_on_the_logs_lock_is_named_as_the_reason_and_appends_go_on_after_it() {
    let url = server().database();
    let options = Options { lock_timeout: Duration::from_millis(200), ..Options::default() };
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    store.append(append("a"), None).await.unwrap();
    let foreign = connect(&url).await;
    foreign.batch_execute("BEGIN; SELECT head FROM fs_log FOR UPDATE").await.unwrap();
    let appending: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append(&format!("{n}")), None).await })
        })
        .collect();
    let mut errors = vec![store.begin().await.unwrap().commit(vec![append("b")]).await.unwrap_err()];
    for task in appending {
        errors.push(task.await.unwrap().unwrap_err());
    }
    for error in errors {
        assert!(matches!(error, StoreError::Busy(_)), "{error:?}");
        let text = error.to_string();
        for words in ["another session", "fs_log", "200ms", "pg_stat_activity", "pg_terminate_backend"] {
            assert!(text.contains(words), "{text}");
        }
    }
    assert_eq!(store.read_log(0, 10).await.unwrap().len(), 1, "who reads is not held up");
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.append(append("c"), None).await })
    };
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(&foreign, sql, 1).await;
    foreign.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(waiting.await.unwrap().unwrap(), Outcome::Appended(_)), "as soon as it is free");
}

#[tokio::test]
async fn a_statements_limit_that_ends_the_wait_for_the_logs_lock_is_transient() {
    let url = server().database();
    let options = Options { transaction_time_limit: Duration::from_millis(100), ..Options::default() };
    let store = PostgresStore::open_with(&url, options).await.unwrap();
    let foreign = connect(&url).await;
    foreign.batch_execute("BEGIN; SELECT head FROM fs_log FOR UPDATE").await.unwrap();
    let error = store.append(append("a"), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy(_)) && error.to_string().contains("fs_log"), "{error}");
    drop(foreign);
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.append(append("a"), None).await {
        assert!(error.is_transient() && Instant::now() < deadline, "{error}");
    }
}
