//! What the tests of this engine share.
#![allow(dead_code)]

use factstream_conformance::support::appending_one;
use factstream_core::store::{Append, Expected, Store, StoreError};
use factstream_postgres::PostgresStore;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// An append of one event.
pub(crate) fn append(id: &str) -> Append {
    appending_one(id, Expected::Any)
}

/// A connection that is not the store's.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The number that a statement answers with.
pub(crate) async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Asks until the answer is the one.
pub(crate) async fn until(client: &Client, sql: &str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while number(client, sql).await != wanted {
        assert!(Instant::now() < deadline, "not {wanted}: {sql}");
        tokio::task::yield_now().await;
    }
}

/// The ids of the whole log, which has no gap; asked for again while the server is away.
pub(crate) async fn log(store: &PostgresStore) -> Vec<Uuid> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let log = loop {
        match store.read_log(0, 100_000).await {
            Ok(log) => break log,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error}"),
        }
    };
    for (position, event) in (1..).zip(&log) {
        assert_eq!(event.position, position, "no gap");
    }
    log.into_iter().map(|event| event.event_id).collect()
}

/// The error of opening a store.
pub(crate) async fn refused(url: &str) -> StoreError {
    PostgresStore::open_url(url).await.err().unwrap_or_else(|| panic!("{url} was opened"))
}
