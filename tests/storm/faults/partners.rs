//! Other teams: they publish what they like to a topic of theirs, make it anew, and shorten how long it keeps its records. After
//! a loss a person sets the consumer that reads it to what is there.

use super::session::Session;
use super::{STAY, on_broker};
use crate::cast::workers;
use crate::partner::{self, Ledger, Outgoing, PARTITIONS, PARTNER, TOPIC};
use crate::system::System;
use factstream::kafka::KafkaBroker;
use factstream::message::{Headers, Message};
use factstream::sql::{format_timestamp, now};
use factstream_core::broker::{Broker, PublishError, Topic};
use factstream_tests::process::Server;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::fmt::Write;
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a person tries to set a group to another place: killed members are in it until their sessions run out.
const RESET_WITHIN: Duration = Duration::from_secs(240);
const AGAIN: Duration = Duration::from_millis(500);

/// Publishes some messages of each kind, or a run of such as nobody can read.
pub(crate) fn publish(system: &System, make: fn(&mut Ledger) -> Vec<Outgoing>) -> Option<()> {
    let mut ledger = ledger(system);
    let outgoing = make(&mut ledger);
    send(system, &mut ledger, outgoing)
}

/// Deletes the topic and makes it again, with as many records at once as it had, perhaps. The consumer is then set to its beginning.
pub(crate) fn make_again(system: &System) -> Option<()> {
    let (mut ledger, url) = with_broker(system)?;
    ledger.lose();
    on_broker(delete_topic(&url))?;
    on_broker(declare(&url))?;
    let outgoing = ledger.every_kind();
    send(system, &mut ledger, outgoing);
    thread::sleep(STAY); // the workers read what they may before they are stopped
    let mut workers = stop_workers(system);
    reset(system);
    start_workers(system, &mut workers);
    Some(())
}

/// Has everything in the topic deleted, with records that were not read, as a retention does that is too short for a consumer that
/// is away.
pub(crate) fn delete_unread(system: &System) -> Option<()> {
    let (mut ledger, url) = with_broker(system)?;
    let mut workers = stop_workers(system);
    let unread = ledger.every_kind();
    send(system, &mut ledger, unread);
    ledger.lose();
    let deleted = on_broker(delete_records(&url));
    let outgoing = ledger.every_kind();
    send(system, &mut ledger, outgoing);
    start_workers(system, &mut workers);
    drop(workers);
    thread::sleep(STAY); // they say that records are missing, and read nothing of this topic
    let mut workers = stop_workers(system);
    reset(system);
    start_workers(system, &mut workers);
    deleted
}

fn ledger(system: &System) -> MutexGuard<'_, Ledger> {
    system.partners.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ledger, and where the broker is: it may move while others have the ledger.
fn with_broker(system: &System) -> Option<(MutexGuard<'_, Ledger>, String)> {
    let ledger = system.has_broker_server().then(|| ledger(system))?;
    Some((ledger, system.broker_url()))
}

fn send(system: &System, ledger: &mut Ledger, outgoing: Vec<Outgoing>) -> Option<()> {
    let messages: Vec<Message> = outgoing.iter().map(|outgoing| outgoing.message.clone()).collect();
    let all = messages.len();
    let acknowledged = match system.has_broker_server() {
        true => on_kafka(&system.broker_url(), messages),
        false => in_tables(&system.store, &messages).map_or(0, |()| all),
    };
    ledger.note(outgoing, acknowledged);
    (acknowledged == all).then_some(())
}

/// How many were acknowledged.
fn on_kafka(url: &str, messages: Vec<Message>) -> usize {
    let all = messages.len();
    let published = on_broker(async {
        let broker = KafkaBroker::open_url(&format!("{url}?compression.type=zstd"));
        let broker = broker.map_err(|source| PublishError { acknowledged: 0, source })?;
        broker.publish(messages).await
    });
    match published {
        Some(Ok(())) => all,
        Some(Err(error)) => {
            println!("          {error}");
            error.acknowledged
        }
        None => 0,
    }
}

/// The embedded broker's records are rows. All go to one partition, as one transaction.
fn in_tables(store: &str, messages: &[Message]) -> Result<(), String> {
    let mut sql = String::new();
    let at = format!("topic = '{TOPIC}' AND partition = 0");
    let _ =
        write!(sql, "UPDATE fs_partitions SET next_offset = next_offset + {} WHERE {at}; ", messages.len());
    let is_sqlite = store.starts_with("sqlite");
    let bytes = |bytes: Option<&[u8]>| match bytes {
        None => "NULL".to_owned(),
        Some(bytes) => {
            let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            if is_sqlite { format!("X'{hex}'") } else { format!("'\\x{hex}'::bytea") }
        }
    };
    for (number, message) in messages.iter().enumerate() {
        let Message { key, value, headers, .. } = message;
        let _ = write!(
            sql,
            "INSERT INTO fs_records (topic, partition, record_offset, record_key, value, headers, published_at) \
             VALUES ('{TOPIC}', 0, (SELECT next_offset FROM fs_partitions WHERE {at}) - {}, {}, {}, '{}', '{}'); ",
            messages.len() - number,
            bytes(key.as_deref()),
            bytes(value.as_deref()),
            headers_json(headers),
            format_timestamp(now()),
        );
    }
    let sql = sql.trim_end_matches("; ");
    Session::open(store)?.transact(sql).inspect_err(|error| println!("          {error}"))
}

/// As the embedded broker keeps them: those that are not text in base64.
fn headers_json(headers: &Headers) -> String {
    let headers = headers.iter().map(|(name, value)| match std::str::from_utf8(value) {
        Ok(text) => serde_json::json!({ "name": name, "value": text }),
        Err(_) => serde_json::json!({ "name": name, "base64": "//4A" }), // the only one there is
    });
    headers.collect::<serde_json::Value>().to_string()
}

/// Stops both workers, whoever has one in hand just now, as one should.
fn stop_workers(system: &System) -> Vec<(usize, MutexGuard<'_, Option<Server>>)> {
    let mut slots: Vec<_> = workers()
        .map(|number| (number, system.services[number].lock().unwrap_or_else(PoisonError::into_inner)))
        .collect();
    for (_, slot) in &mut slots {
        if let Some(server) = slot.take() {
            let _ = server.stop(); // it may have been aborted by its handler, and its store may be away
        }
    }
    slots
}

fn start_workers(system: &System, workers: &mut Vec<(usize, MutexGuard<'_, Option<Server>>)>) {
    for (number, mut slot) in workers.drain(..) {
        *slot = Some(system.start_service(number, None));
    }
}

/// Sets the consumer to the beginning of what is there, as a person would. The store or the broker may be down.
fn reset(system: &System) {
    let deadline = Instant::now() + RESET_WITHIN;
    loop {
        let mut command = system.worker(workers().next().expect("there are workers"));
        command.args(["--reset", PARTNER, "--store", &system.store, "--broker", &system.broker_url()]);
        let done = command.output().expect("a worker can be started");
        if done.status.success() {
            return;
        }
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        if system.has_broker_server() {
            on_broker(declare(&system.broker_url())); // it was deleted, and not made again in time
        }
        assert!(Instant::now() < deadline, "{PARTNER} cannot be set to the beginning: {error}");
        thread::sleep(AGAIN);
    }
}

fn admin(url: &str) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
    config.create().expect("a client of the harness's own")
}

async fn delete_topic(url: &str) {
    let admin = admin(url);
    loop {
        let deleted = admin.delete_topics(&[TOPIC], &AdminOptions::new()).await;
        let gone = |result: &Result<String, (String, RDKafkaErrorCode)>| {
            matches!(result, Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)))
        };
        if deleted.is_ok_and(|deleted| deleted.iter().all(gone)) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn declare(url: &str) {
    loop {
        let broker = KafkaBroker::open_url(url).expect("the URL is right");
        let topic = Topic::new(partner::TOPIC, PARTITIONS);
        if broker.declare(&[topic]).await.is_ok() && broker.bounds(&[TOPIC.to_owned()]).await.is_ok() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Deletes every record that is there.
async fn delete_records(url: &str) {
    let admin = admin(url);
    loop {
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(PARTITIONS).expect("few") {
            list.add_partition_offset(TOPIC, partition, Offset::End).expect("an offset");
        }
        let deleted = admin.delete_records(&list, &AdminOptions::new()).await;
        if deleted.is_ok_and(|list| list.elements().iter().all(|element| element.error().is_ok())) {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}
