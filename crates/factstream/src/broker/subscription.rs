//! A group's member in the embedded broker. It reads all partitions: a group has one owner at a time, by a lease.

use crate::{headers, statements as sql};
use async_trait::async_trait;
use factstream_core::broker::{BrokerError, POLL_BYTES_MAX, Partition, Stored, Subscription};
use factstream_core::message::Record;
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::{Store, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the tables are looked at while nothing is published in this process: news of other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Waits are shorter than this, so that a deadline can always be told.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

pub(crate) struct EmbeddedSubscription {
    store: Arc<dyn Store>,
    published: watch::Receiver<u64>,
    group: String,
    topics: Vec<String>,
    /// Where to go on in partitions without a committed offset.
    stored: HashMap<Partition, i64>,
    /// The next offset to read in each partition, once it was read from.
    next: BTreeMap<Partition, i64>,
    /// The history of the store in which that is.
    history: u64,
    /// Which topic is read first, so that none starves.
    turn: usize,
}

/// A partition with records to read.
struct Behind {
    partition: Partition,
    from: i64,
}

impl EmbeddedSubscription {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        published: watch::Receiver<u64>,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Self {
        Self {
            history: store.history(),
            store,
            published,
            group: group.to_owned(),
            topics: topics.to_vec(),
            stored: stored.iter().map(|stored| (stored.partition.clone(), stored.next)).collect(),
            next: BTreeMap::new(),
            turn: 0,
        }
    }

    async fn read(&mut self, records_max: usize) -> Result<Vec<Record>, BrokerError> {
        let history = self.store.history();
        if self.history != history {
            // What comes after the committed offsets may be other records by now.
            self.next.clear();
            self.history = history;
        }
        let behind = self.behind().await?;
        let (mut records, mut read_to) = (Vec::new(), Vec::new());
        let mut bytes_left = POLL_BYTES_MAX;
        for (at, Behind { partition, from }) in behind.iter().enumerate() {
            // A fair share for each partition that is left, so that one long partition does not hold up the others.
            let share = (records_max - records.len()).div_ceil(behind.len() - at);
            if share == 0 || bytes_left == 0 {
                break;
            }
            let params = params![&partition.topic, partition.partition, *from, share, bytes_left];
            let rows = self.store.query(sql::SELECT_RECORDS, params).await?;
            for row in &rows {
                let record = record(partition, row)?;
                bytes_left = bytes_left.saturating_sub(record.bytes());
                records.push(record);
            }
            if let Some(last) = rows.last() {
                let offset: i64 = last.get("record_offset").map_err(StoreError::from)?;
                read_to.push((partition.clone(), offset + 1));
            }
        }
        if self.store.history() != history {
            return Ok(Vec::new());
        }
        // Only now, with nothing left to wait for: a poll that is given up half-way has read nothing.
        self.next.extend(read_to);
        self.turn = self.turn.wrapping_add(1);
        Ok(records)
    }

    /// Fails as a poll would where the group's next offset is not there.
    pub(super) async fn check(&self) -> Result<(), BrokerError> {
        self.behind().await.map(drop)
    }

    /// The partitions that have records this group has not read.
    async fn behind(&self) -> Result<Vec<Behind>, BrokerError> {
        let mut behind = Vec::new();
        for topic in &self.topics {
            let rows = self.store.query(sql::SELECT_PARTITIONS, params![&self.group, topic]).await?;
            for row in &rows {
                behind.extend(self.behind_in(topic, row)?);
            }
        }
        if !behind.is_empty() {
            let first = self.turn % behind.len();
            behind.rotate_left(first);
        }
        Ok(behind)
    }

    fn behind_in(&self, topic: &str, row: &Row) -> Result<Option<Behind>, BrokerError> {
        let number = |column: &str| row.get::<i64>(column).map_err(StoreError::from);
        let (oldest, end) = (number("oldest_offset")?, number("next_offset")?);
        let committed: Option<i64> = row.get("committed").map_err(StoreError::from)?;
        let partition =
            Partition { topic: topic.to_owned(), partition: row.get("partition").map_err(StoreError::from)? };
        let committed = committed.or_else(|| self.stored.get(&partition).copied());
        if let Some(committed) = committed.filter(|committed| *committed < oldest) {
            return Err(BrokerError::OffsetGone { partition, committed, oldest });
        }
        if let Some(next) = committed.filter(|committed| *committed > end) {
            return Err(BrokerError::OffsetBeyondEnd { partition, next, end });
        }
        // What another member has committed meanwhile is done with.
        let from = self.next.get(&partition).copied().max(committed).unwrap_or(oldest);
        Ok((from < end).then_some(Behind { partition, from }))
    }
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn poll(&mut self, records_max: usize, wait: Duration) -> Result<Vec<Record>, BrokerError> {
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        loop {
            self.published.borrow_and_update();
            let records = self.read(records_max.max(1)).await?;
            let now = Instant::now();
            if !records.is_empty() || now >= deadline {
                return Ok(records);
            }
            let next_look = deadline.min(now + POLL_INTERVAL);
            // News of this process, or time to look for that of others. A closed channel means that nobody publishes here.
            if let Ok(Err(_)) = tokio::time::timeout_at(next_look, self.published.changed()).await {
                tokio::time::sleep_until(next_look).await;
            }
        }
    }

    async fn give_back(&mut self, records: Vec<Record>) -> Result<(), BrokerError> {
        for record in records {
            if let Some(next) = self.next.get_mut(&record.partition) {
                *next = record.offset.min(*next);
            }
        }
        Ok(())
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let mut tx = self.store.begin().await?;
        if self.store.history() != self.history {
            return Ok(()); // what was read is read again, from what is committed there
        }
        let rows =
            next.iter().map(|(at, offset)| params![&self.group, &at.topic, at.partition, *offset]).collect();
        tx.execute_many(sql::COMMIT_OFFSET, rows).await?;
        super::commit(tx).await
    }
}

/// A record, as a row of `fs_records` has it.
pub(crate) fn record(partition: &Partition, row: &Row) -> Result<Record, BrokerError> {
    let text: String = row.get("headers").map_err(StoreError::from)?;
    let headers = headers::from_json(&text).map_err(|error| {
        BrokerError::Engine(format!("the headers of a record in {partition} cannot be read: {error}"))
    })?;
    Ok(Record {
        partition: partition.clone(),
        offset: row.get("record_offset").map_err(StoreError::from)?,
        key: row.get("record_key").map_err(StoreError::from)?,
        value: row.get("value").map_err(StoreError::from)?,
        headers,
        timestamp: row.get("published_at").map_err(StoreError::from)?,
    })
}
