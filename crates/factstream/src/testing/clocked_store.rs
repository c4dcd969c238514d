//! A real store whose events are dated by a test's clock. Everything else is the engine's.

use crate::kernel::TestClock;
use async_trait::async_trait;

use factstream_core::envelope::{Position, RecordedEvent, StreamId, Version};
use factstream_core::sql::{Params, Row};
use factstream_core::store::{
    Append, CommandKey, Commit, Dependent, Outcome, Store, StoreError, TableRows, Transaction,
};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// The store, with the clock.
pub(super) struct Clocked {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: TestClock,
}

struct ClockedTransaction {
    inner: Box<dyn Transaction>,
    clock: TestClock,
}

fn dated(append: Append, clock: &TestClock) -> Append {
    let now = clock.now();
    let events = append
        .events
        .into_iter()
        .map(|event| factstream_core::envelope::NewEvent { timestamp: now, ..event });
    Append { events: events.collect(), ..append }
}

#[async_trait]
impl Store for Clocked {
    async fn append(&self, append: Append, key: Option<CommandKey>) -> Result<Outcome, StoreError> {
        self.store.append(dated(append, &self.clock), key).await
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
        let inner = self.store.begin().await?;
        Ok(Box::new(ClockedTransaction { inner, clock: self.clock.clone() }))
    }

    async fn clock(&self) -> Result<jiff::Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    fn history(&self) -> u64 {
        self.store.history()
    }

    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError> {
        self.store.wait_beyond(after, timeout).await
    }
}

#[async_trait]
impl Transaction for ClockedTransaction {
    async fn execute(&mut self, sql: &str, params: Params) -> Result<u64, StoreError> {
        self.inner.execute(sql, params).await
    }

    async fn execute_many(&mut self, sql: &str, params: Vec<Params>) -> Result<Vec<u64>, StoreError> {
        self.inner.execute_many(sql, params).await
    }

    async fn query(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.inner.query(sql, params).await
    }

    async fn write_rows(&mut self, rows: TableRows) -> Result<(), StoreError> {
        self.inner.write_rows(rows).await
    }

    async fn dependents(&mut self, tables: &[String]) -> Result<Vec<Dependent>, StoreError> {
        self.inner.dependents(tables).await
    }

    async fn commit(self: Box<Self>, appends: Vec<Append>) -> Result<Commit, StoreError> {
        let clock = self.clock;
        self.inner.commit(appends.into_iter().map(|append| dated(append, &clock)).collect()).await
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self.inner.as_any()
    }
}
