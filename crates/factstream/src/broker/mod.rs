//! The embedded broker: topics, partitions and groups as tables of the store. Written over the transaction port, so it
//! runs on every engine.
//!
//! Invariants: offsets are contiguous in a partition, in commit order: `fs_partitions.next_offset` is read and moved in
//! the publishing transaction, and on engines with several writers the row's lock is held until it commits. A group's
//! offsets never go backwards. A publish is all or nothing. The time of a record is the store's, not that of the process which publishes.

mod subscription;
mod retention;

use crate::kernel::StoreClock;
use crate::{headers, statements as sql};
use async_trait::async_trait;
use factstream_core::broker::{Bounds, Broker, Lag, PublishError, Stored, Subscription, Topic};
pub use factstream_core::broker::{BrokerError, Partition};
use factstream_core::message::Message;
use factstream_core::params;
use factstream_core::partition::partition_of;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::{Params, placeholders};
use factstream_core::store::{Commit, Store, StoreError, TableRows, Transaction};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use subscription::EmbeddedSubscription;
pub(crate) use subscription::record;
use tokio::sync::watch;

/// A broker in the store's own tables.
#[derive(Clone)]
pub struct Embedded {
    store: Arc<dyn Store>,
    clock: Arc<StoreClock>,
    published: watch::Sender<u64>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// The broker in this store, whose framework tables exist.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, clock: Arc::default(), published: watch::Sender::new(0) }
    }

    /// With this clock.
    pub(crate) fn by(self, clock: Arc<StoreClock>) -> Self {
        Self { clock, ..self }
    }

    async fn publish_all(&self, batch: &[Message]) -> Result<(), BrokerError> {
        let published_at = self.clock.fresh(self.store.as_ref()).await?;
        let mut tx = self.store.begin().await?;
        let partitions = count_partitions(tx.as_mut(), batch).await?;
        let mut by_partition: BTreeMap<(&str, u32), Vec<&Message>> = BTreeMap::new();
        for message in batch {
            let partition =
                partition_of(message.key.as_deref().unwrap_or_default(), partitions[message.topic.as_str()]);
            by_partition.entry((&message.topic, partition)).or_default().push(message);
        }
        // In the order of the map, so that two publishers cannot wait for each other.
        let mut records = Vec::with_capacity(batch.len());
        for ((topic, partition), messages) in &by_partition {
            let sql = "UPDATE fs_partitions SET next_offset = next_offset + $3 WHERE topic = $1 AND partition = $2 \
                       RETURNING next_offset";
            let rows = tx.query(sql, params![*topic, *partition, messages.len()]).await?;
            let next: i64 = match rows.first() {
                Some(row) => row.get("next_offset").map_err(StoreError::from)?,
                None => return Err(BrokerError::UnknownTopic { topic: (*topic).to_owned() }),
            };
            let first = next - messages.len() as i64;
            for (offset, message) in (first..).zip(messages) {
                records.push(record_params(message, *partition, offset, published_at)?);
            }
        }
        let columns =
            ["topic", "partition", "record_offset", "record_key", "value", "headers", "published_at"];
        let columns = columns.map(str::to_owned).into();
        let table = "fs_records".to_owned();
        tx.write_rows(TableRows { table, columns, rows: records, replace_by: Vec::new() }).await?;
        commit(tx).await
    }
}

async fn commit(tx: Box<dyn Transaction>) -> Result<(), BrokerError> {
    match tx.commit(Vec::new()).await? {
        Commit::Committed(_) => Ok(()),
        Commit::Conflict(conflict) => Err(BrokerError::Engine(conflict.to_string())),
    }
}

async fn count_partitions(
    tx: &mut dyn Transaction,
    batch: &[Message],
) -> Result<HashMap<String, u32>, BrokerError> {
    let mut partitions = HashMap::new();
    for message in batch {
        if partitions.contains_key(&message.topic) {
            continue;
        }
        let rows =
            tx.query("SELECT partitions FROM fs_topics WHERE topic = $1", params![&message.topic]).await?;
        let Some(row) = rows.first() else {
            return Err(BrokerError::UnknownTopic { topic: message.topic.clone() });
        };
        partitions.insert(message.topic.clone(), row.get("partitions").map_err(StoreError::from)?);
    }
    Ok(partitions)
}

fn record_params(
    message: &Message,
    partition: u32,
    offset: i64,
    published_at: Timestamp,
) -> Result<Params, BrokerError> {
    let headers = headers::to_json(&message.headers).map_err(|error| {
        BrokerError::Engine(format!("the headers of a message cannot be written: {error}"))
    })?;
    let Message { topic, key, value, .. } = message;
    let published_at = if is_on(Sabotage::RecordTimeOfEvent) { message.timestamp } else { published_at };
    Ok(params![topic, partition, offset, key.clone(), value.clone(), headers, published_at])
}

#[async_trait]
impl Broker for Embedded {
    async fn declare(&self, topics: &[Topic]) -> Result<(), BrokerError> {
        let known = self.store.query("SELECT topic FROM fs_topics", params![]).await?;
        let known: Vec<String> = known.iter().filter_map(|row| row.get("topic").ok()).collect();
        if topics.iter().all(|topic| known.contains(&topic.name)) {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for Topic { name, partitions, .. } in topics {
            let partitions = (*partitions).max(1);
            let sql = "INSERT INTO fs_topics (topic, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            if tx.execute(sql, params![name, partitions]).await? == 0 {
                continue;
            }
            let sql = "INSERT INTO fs_partitions (topic, partition, oldest_offset, next_offset) VALUES ($1, $2, 0, 0)";
            let rows = (0..partitions).map(|partition| params![name, partition]).collect();
            tx.execute_many(sql, rows).await?;
        }
        commit(tx).await
    }

    async fn publish(&self, batch: Vec<Message>) -> Result<(), PublishError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.publish_all(&batch).await.map_err(|source| PublishError { acknowledged: 0, source })?;
        self.published.send_modify(|batches| *batches += 1);
        Ok(())
    }

    async fn cluster(&self) -> Result<String, BrokerError> {
        Ok("embedded".into())
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        for topic in topics {
            let rows = self.store.query("SELECT 1 FROM fs_topics WHERE topic = $1", params![topic]).await?;
            if rows.is_empty() {
                return Err(BrokerError::UnknownTopic { topic: topic.clone() });
            }
        }
        let (store, published) = (Arc::clone(&self.store), self.published.subscribe());
        Ok(Box::new(EmbeddedSubscription::new(store, published, group, topics, stored)))
    }

    async fn check_group(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<(), BrokerError> {
        let (store, published) = (Arc::clone(&self.store), self.published.subscribe());
        EmbeddedSubscription::new(store, published, group, topics, stored).check().await
    }

    async fn bounds(&self, topics: &[String]) -> Result<Vec<(Partition, Bounds)>, BrokerError> {
        let mut bounds = Vec::new();
        for topic in topics {
            let sql = "SELECT partition, oldest_offset, next_offset FROM fs_partitions WHERE topic = $1 ORDER BY partition";
            let rows = self.store.query(sql, params![topic]).await?;
            if rows.is_empty() {
                return Err(BrokerError::UnknownTopic { topic: topic.clone() });
            }
            for row in rows {
                let number = |column: &str| row.get::<i64>(column).map_err(StoreError::from);
                let partition = row.get("partition").map_err(StoreError::from)?;
                let (start, end) = (number("oldest_offset")?, number("next_offset")?);
                bounds.push((Partition { topic: topic.clone(), partition }, Bounds { start, end }));
            }
        }
        Ok(bounds)
    }

    async fn reset(&self, group: &str, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        if next.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let row = |(at, next): &(Partition, i64)| params![group, &at.topic, at.partition, *next];
        tx.execute_many(sql::SET_OFFSET, next.iter().map(row).collect()).await?;
        commit(tx).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
        if topics.is_empty() {
            return Ok(Lag::default());
        }
        let sql = sql::SELECT_GROUP_LAG.replace("{topics}", &placeholders(2, topics.len()));
        let names = topics.iter().flat_map(|topic| params![topic]);
        let rows = self.store.query(&sql, params![group].into_iter().chain(names).collect()).await?;
        let Some(row) = rows.first() else { return Ok(Lag::default()) };
        Ok(Lag {
            events: row.get("events").map_err(StoreError::from)?,
            oldest: row.get("oldest").map_err(StoreError::from)?,
            missed: row.get("missed").map_err(StoreError::from)?,
            committers: Vec::new(), // its groups live in the store: no other system has them
        })
    }
}
