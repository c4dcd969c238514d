//! Somebody else who publishes messages a second time: the oldest of each topic, long handled, and the newest, perhaps being
//! handled right now. Key, value and headers are kept, also the event's id: that is what makes them doubles.

use super::on_broker;
use super::session::Session;
use crate::system::System;
use factstream::kafka::KafkaBroker;
use factstream::message::{Message, Record};
use factstream::sql::now;
use factstream_core::broker::{Broker, BrokerError};
use factstream_tests::ledger;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const TOPICS: [&str; 3] = ["orders.events", "payments.events", "inventory.events"];
/// So many from each end of what was read.
const AGAIN: usize = 100;
/// The most that is read.
const RECORDS_MAX: usize = 20_000;

/// Publishes again; `None` when the servers did not let it.
pub(crate) fn publish_again(system: &System) -> Option<()> {
    if system.has_broker_server() {
        return on_kafka(&system.broker_url());
    }
    in_tables(&system.store).inspect_err(|error| println!("          not done: {error}")).ok()
}

fn on_kafka(url: &str) -> Option<()> {
    let published = on_broker(async {
        let broker = KafkaBroker::open_url(url)?;
        let records = read(&broker).await?;
        let newest = records.len().saturating_sub(AGAIN).max(AGAIN.min(records.len()));
        let again = records.iter().take(AGAIN).chain(&records[newest..]).map(message).collect();
        broker.publish(again).await.map_err(|error| error.source)
    });
    published?.inspect_err(|error: &BrokerError| println!("          not done: {error}")).ok()
}

async fn read(broker: &KafkaBroker) -> Result<Vec<Record>, BrokerError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let group = format!("foreign-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut subscription = broker.subscribe(&group, &TOPICS.map(str::to_owned), &[]).await?;
    let mut records: Vec<Record> = Vec::new();
    loop {
        let more = subscription.poll(1_000, Duration::from_secs(3)).await?;
        if (more.is_empty() && !records.is_empty()) || records.len() >= RECORDS_MAX {
            return Ok(records);
        }
        records.extend(more);
    }
}

fn message(record: &Record) -> Message {
    let Record { partition, key, value, headers, timestamp, .. } = record.clone();
    Message { topic: partition.topic, key, value, headers, timestamp: timestamp.unwrap_or_else(now) }
}

/// The embedded broker's records are rows: its offsets go on without a gap.
fn in_tables(store: &str) -> Result<(), String> {
    let mut session = Session::open(store)?;
    for row in ledger::query(store, "SELECT topic, partition FROM fs_partitions") {
        let [Some(topic), Some(partition)] = row.as_slice() else { continue };
        // Copies of other teams' messages without an id would be new messages.
        if !TOPICS.contains(&topic.as_str()) {
            continue;
        }
        let at = format!("topic = '{topic}' AND partition = {partition}");
        session.transact(&format!(
            "UPDATE fs_partitions SET next_offset = next_offset WHERE {at};
             INSERT INTO fs_records (topic, partition, record_offset, record_key, value, headers, published_at)
             SELECT topic, partition, (SELECT next_offset FROM fs_partitions WHERE {at}) - 1
                    + row_number() OVER (ORDER BY record_offset), record_key, value, headers, published_at
             FROM fs_records WHERE {at} AND (
                 record_offset < (SELECT oldest_offset FROM fs_partitions WHERE {at}) + {AGAIN} OR
                 record_offset >= (SELECT next_offset FROM fs_partitions WHERE {at}) - {AGAIN});
             UPDATE fs_partitions SET next_offset = (SELECT coalesce(max(record_offset) + 1, next_offset)
                 FROM fs_records WHERE {at}) WHERE {at}"
        ))?;
    }
    Ok(())
}
