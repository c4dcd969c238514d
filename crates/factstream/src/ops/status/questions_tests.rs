//! How much a look at the status costs the store.

extern crate self as factstream;

use crate::app::App;
use crate::broker::Embedded;
use crate::kernel::Kernel;
use crate::{Consumer, Error, Failure, Handler, Projection, Projector, Rows, Tx};
use async_trait::async_trait;
use factstream_core::envelope::{Envelope, Position, RecordedEvent, StreamId, Version};
use factstream_core::sql::{Params, Row};
use factstream_core::store::{Append, CommandKey, Outcome, Store, StoreError, Transaction};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A store that counts the questions that it passes on.
struct Counting {
    store: Arc<dyn Store>,
    questions: Arc<AtomicU32>,
}

impl Counting {
    fn one(&self) -> &dyn Store {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.store.as_ref()
    }
}

#[async_trait]
impl Store for Counting {
    async fn append(&self, append: Append, key: Option<CommandKey>) -> Result<Outcome, StoreError> {
        self.one().append(append, key).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.one().read_stream(stream, after, limit).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, StoreError> {
        self.one().read_log(after, limit).await
    }

    async fn query(&self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.one().query(sql, params).await
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError> {
        self.one().begin().await
    }

    async fn clock(&self) -> Result<jiff::Timestamp, StoreError> {
        self.store.clock().await
    }

    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError> {
        self.one().wait_beyond(after, timeout).await
    }
}

#[derive(crate::Event, Serialize, Deserialize)]
#[event(topic = "counted.events")]
enum Counted {
    #[event(name = "Counted")]
    Counted { n: u32 },
}

struct Nothing;

impl Projector for Nothing {
    type Events = Counted;

    async fn project(&self, _: &Envelope<Counted>, _: &mut Rows) -> Result<(), Failure> {
        Ok(())
    }
}

impl Handler for Nothing {
    type Events = Counted;

    async fn handle(&self, _: &Envelope<Counted>, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_look_at_a_settled_application_asks_four_questions_and_one_for_each_group() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut builder = App::builder(format!("sqlite://{}", folder.path().join("counted.db").display()));
    for name in ["one", "two", "three"] {
        builder = builder.projection(Projection::new(name, Nothing).shards(4));
    }
    for group in ["mail", "ledger"] {
        builder = builder.consumer(Consumer::new(group).handler(Nothing));
    }
    let questions = Arc::new(AtomicU32::new(0));
    let app = builder.open().await?.changed(|kernel| {
        let store: Arc<dyn Store> = Arc::new(Counting { store: kernel.store, questions: questions.clone() });
        Kernel { broker: Arc::new(Embedded::new(Arc::clone(&store))), store, ..kernel }
    });
    questions.store(0, Ordering::Relaxed);
    let status = app.status().await;
    assert_eq!(status.unsettled(), [""; 0]);
    assert_eq!(status.handlers.len(), 14);
    assert_eq!(questions.load(Ordering::Relaxed), 4 + 2);
    Ok(())
}
