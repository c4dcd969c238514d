//! What the tests of this engine share.
#![allow(dead_code)]

use factstream_core::envelope::{NewEvent, StreamId};
use factstream_core::sql::now;
use factstream_core::store::{Append, Expected, Store, StoreError};
use factstream_postgres::PostgresStore;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// An append of one event.
pub(crate) fn append(id: &str) -> Append {
    append_at(id, Expected::Any)
}

/// An append of one event at a version.
pub(crate) fn append_at(id: &str, expected: Expected) -> Append {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "Noted".into(),
        schema_version: 1,
        data: "{}".into(),
        metadata: "{\"source\":\"test\"}".into(),
        timestamp: now(),
    };
    Append { stream: StreamId::new("note", id).unwrap(), expected, events: vec![event] }
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
