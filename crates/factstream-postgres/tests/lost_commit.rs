//! Exactly the reply to COMMIT is lost: what was committed is acknowledged, once.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{append, log};
use factstream_conformance::support::appending_one;
use factstream_core::params;
use factstream_core::store::{Commit, Expected, Outcome, Store, StoreError};
use factstream_postgres::PostgresStore;
use factstream_tests::postgres::server;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy before the server. While `swallow` is above 0, it waits for the reply to a COMMIT, keeps it to itself, and cuts the
/// connection.
struct Proxy {
    url: String,
    swallow: Arc<AtomicU32>,
}

impl Proxy {
    async fn before(url: &str) -> Self {
        let (head, rest) = url.split_once('@').unwrap();
        let (place, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let swallow = Arc::new(AtomicU32::new(0));
        tokio::spawn({
            let (place, swallow) = (place.to_owned(), Arc::clone(&swallow));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(&place).await.unwrap();
                    tokio::spawn(carry(client, server, Arc::clone(&swallow)));
                }
            }
        });
        Self { url: format!("{head}@{own}/{database}"), swallow }
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicU32>) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut is_committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                let is_commit = asked[..length].windows(7).any(|bytes| bytes == b"COMMIT\0");
                let one_less = |left: u32| left.checked_sub(1);
                is_committing |= is_commit
                    && swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                let is_reply = answered[..length].windows(7).any(|bytes| bytes == b"COMMIT\0");
                if is_committing && is_reply { return }
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_whose_commit_was_not_answered_are_acknowledged_and_stored_once() {
    let proxy = Proxy::before(&server().database()).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    for n in 0..5 {
        proxy.swallow.store(1, Ordering::SeqCst);
        let done = store.append(appending_one(&format!("{n}"), Expected::Exact(0)), None).await.unwrap();
        assert!(matches!(done, Outcome::Appended(_)), "{done:?}");
        assert_eq!(proxy.swallow.load(Ordering::SeqCst), 0, "the reply was swallowed");
    }
    assert_eq!(log(&store).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_with_events_is_asked_for_and_one_without_is_told_to_be_unknown() {
    let proxy = Proxy::before(&server().database()).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE mine (n BIGINT)", params![]).await.unwrap();
    tx.commit(vec![]).await.unwrap();

    proxy.swallow.store(1, Ordering::SeqCst);
    let mut tx = store.begin().await.unwrap();
    tx.execute("INSERT INTO mine VALUES (1)", params![]).await.unwrap();
    assert!(matches!(tx.commit(vec![append("a")]).await.unwrap(), Commit::Committed(_)));

    proxy.swallow.store(1, Ordering::SeqCst);
    let mut tx = store.begin().await.unwrap();
    tx.execute("INSERT INTO mine VALUES (2)", params![]).await.unwrap();
    let error = tx.commit(vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)) && error.is_transient(), "{error}");

    assert_eq!(proxy.swallow.load(Ordering::SeqCst), 0, "both replies were swallowed");
    assert_eq!(log(&store).await.len(), 1);
    let rows = store.query("SELECT count(*) AS rows FROM mine", params![]).await.unwrap();
    assert_eq!(rows[0].get::<i64>("rows").unwrap(), 2);
}
