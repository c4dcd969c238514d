//! A store whose clock differs from that of the process, as a test says: what a wrong clock of a machine looks like to factstream. Everything else
//! is the engine's.

use factstream::envelope::{Position, RecordedEvent, StreamId, Version};
use factstream::sql::{Params, Row};
use factstream::store::{Append, CommandKey, Outcome, Store, StoreError, Transaction};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// By how many hours the clock is ahead.
pub(crate) type Hours = Arc<AtomicI64>;

/// An engine's store, by another clock.
pub(crate) struct Shifted {
    store: Arc<dyn Store>,
    ahead: Hours,
}

impl Shifted {
    pub(crate) fn by(store: Arc<dyn Store>, ahead: Hours) -> Arc<dyn Store> {
        Arc::new(Self { store, ahead })
    }
}

#[async_trait::async_trait]
impl Store for Shifted {
    async fn append(&self, append: Append, key: Option<CommandKey>) -> Result<Outcome, StoreError> {
        self.store.append(append, key).await
    }
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.store.read_stream(stream, after, limit).await
    }
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, StoreError> {
        self.store.read_log(after, limit).await
    }
    async fn query(&self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.store.query(sql, params).await
    }
    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError> {
        self.store.begin().await
    }
    async fn clock(&self) -> Result<Timestamp, StoreError> {
        let ahead = SignedDuration::from_hours(self.ahead.load(Ordering::SeqCst));
        Ok(self.store.clock().await? + ahead)
    }
    fn history(&self) -> u64 {
        self.store.history()
    }
    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError> {
        self.store.wait_beyond(after, timeout).await
    }
}
