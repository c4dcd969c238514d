//! A store whose clock a test moves on. Everything else is the engine's.

use factstream::envelope::{Position, RecordedEvent, StreamId, Version};
use factstream::sql::{Params, Row};
use factstream::store::{Append, CommandKey, Outcome, Store, StoreError, Transaction};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// By how many hours the clock of a case is ahead.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn advance(&self, hours: u64) {
        self.0.fetch_add(hours, Ordering::SeqCst);
    }
}

pub(crate) struct Moved {
    store: Arc<dyn Store>,
    clock: Clock,
}

impl Moved {
    pub(crate) fn by(store: Arc<dyn Store>, clock: Clock) -> Arc<dyn Store> {
        Arc::new(Self { store, clock })
    }
}

#[async_trait::async_trait]
impl Store for Moved {
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
        let hours = i64::try_from(self.clock.0.load(Ordering::SeqCst)).unwrap_or(i64::MAX);
        Ok(self.store.clock().await? + SignedDuration::from_hours(hours))
    }
    fn history(&self) -> u64 {
        self.store.history()
    }
    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError> {
        self.store.wait_beyond(after, timeout).await
    }
}
