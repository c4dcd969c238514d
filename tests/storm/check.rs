//! The checker: from the ledgers, the log, the topics and the tables, each read without the framework.

use crate::effects;
use crate::load::Ledger;
use crate::partner::PARTNER;
use crate::system::System;
use crate::worker::FRAGILE;
use factstream_tests::kafka_tools::Tools;
use factstream_tests::ledger::{self, Event};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Nobody's clock that is asked is off by so much.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(120);
const TOPICS: [&str; 3] = ["orders.events", "payments.events", "inventory.events"];

/// Checks everything while what had to fail waits for a person; panics with what does not hold. How many keys wait.
pub(crate) fn check(system: &System, ledgers: &[Ledger]) -> usize {
    ledger::check(&system.store); // positions, versions, stock, one charge for each order, rows equal to a fold
    let events = ledger::events(&system.store);
    check_acknowledged(&events, ledgers);
    check_topics(system);
    check_record_times(system);
    let others = format!("WHERE handler NOT IN ('{FRAGILE}', '{PARTNER}')");
    for table in ["fs_dead_letters", "fs_blocked_keys"] {
        let left = count(system, table, &others);
        assert_eq!(left, "0", "rows left behind in {table}: nothing of the services' had to fail for good");
    }
    check_partners(system, false);
    effects::check_harmed(&system.store, &with_ids(system, events))
}

/// Checks everything after the redrive.
pub(crate) fn check_healed(system: &System) {
    let left = count(system, "fs_dead_letters", "WHERE state <> 'handled'");
    assert_eq!(left, "0", "letters left behind after the redrive");
    assert_eq!(count(system, "fs_blocked_keys", ""), "0", "keys that stand still after the redrive");
    check_partners(system, true);
    effects::check_healed(&system.store, &with_ids(system, ledger::events(&system.store)));
}

fn check_partners(system: &System, is_healed: bool) {
    let partners = system.partners.lock().expect("no fault is under way any more");
    effects::check_partners(&system.store, &partners, is_healed);
}

fn count(system: &System, table: &str, condition: &str) -> String {
    let sql = format!("SELECT count(*) FROM {table} {condition}");
    ledger::query(&system.store, &sql)[0][0].clone().unwrap_or_default()
}

fn with_ids(system: &System, events: Vec<Event>) -> Vec<(Event, String)> {
    let ids = ledger::query(&system.store, "SELECT event_id FROM events ORDER BY position");
    events.into_iter().zip(ids.into_iter().map(|row| row[0].clone().unwrap_or_default())).collect()
}

/// What was acknowledged is there once; what was not, once or not at all; and nothing else.
fn check_acknowledged(events: &[Event], ledgers: &[Ledger]) {
    let created = ledger::of_type(events, "OrderCreated");
    let acknowledged: BTreeSet<&str> =
        ledgers.iter().flat_map(|ledger| ledger.acknowledged.values()).map(String::as_str).collect();
    let count: usize = ledgers.iter().map(|ledger| ledger.acknowledged.len()).sum();
    assert_eq!(acknowledged.len(), count, "two keys were told one order");
    for order in &acknowledged {
        assert!(created.contains(order), "acknowledged order {order} is lost");
    }
    let unknown: usize = ledgers.iter().map(|ledger| ledger.unknown.len()).sum();
    let more = created.len() - acknowledged.len();
    assert!(
        more <= unknown,
        "{more} orders that no client was told of, but only {unknown} outcomes are unknown"
    );
    let ended =
        ledger::of_type(events, "OrderShipped").len() + ledger::of_type(events, "OrderCancelled").len();
    assert_eq!(ended, created.len(), "every order came to its end");
}

/// Each public event is on its topic at least once; first appearances in the order of each key (G5).
fn check_topics(system: &System) {
    let sql = "SELECT event_id, aggregate_id, position, metadata FROM events ORDER BY position";
    let mut public: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for row in ledger::query(&system.store, sql) {
        let [id, key, _, metadata] =
            <[_; 4]>::try_from(row).map(|row| row.map(Option::unwrap_or_default)).expect("four columns");
        let metadata: Value = serde_json::from_str(&metadata).expect("metadata is JSON");
        if let Some(topic) = metadata["topic"].as_str() {
            public.entry(topic.to_owned()).or_default().entry(key).or_default().push(id);
        }
    }
    for topic in TOPICS {
        let mut seen = BTreeSet::new();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, key) in published(system, topic) {
            if seen.insert(id.clone()) {
                found.entry(key).or_default().push(id);
            }
        }
        let wanted = public.remove(topic).unwrap_or_default();
        for (key, ids) in &wanted {
            assert_eq!(found.get(key), Some(ids), "{topic}: first appearances of key {key}");
        }
        assert_eq!(found.len(), wanted.len(), "{topic}: keys that the log does not have");
    }
    assert!(public.is_empty(), "events for topics that nobody declared: {public:?}");
}

/// Each record of the embedded broker has the time of its publishing, by the store's clock, whatever the clock of the process that
/// published it said, and whenever its event was recorded. Kafka dates the records of our topics by itself. SQLite's clock is that of
/// each process, and one that is wrong dates them wrongly.
fn check_record_times(system: &System) {
    if !system.has_store_server() || system.has_broker_server() {
        return;
    }
    let sql = "SELECT min(published_at), max(published_at) FROM fs_records";
    let times: Vec<Timestamp> = ledger::query(&system.store, sql)
        .remove(0)
        .into_iter()
        .map(|time| time.expect("there are records").parse().expect("a time is RFC 3339"))
        .collect();
    let (earliest, latest) = (system.begun - TOLERANCE, Timestamp::now() + TOLERANCE);
    assert!(
        times[0] >= earliest && times[1] <= latest,
        "records are dated from {} to {}, but were published between {earliest} and {latest}",
        times[0],
        times[1]
    );
}

/// Event id and key of each message of a topic, in the order of each partition.
fn published(system: &System, topic: &str) -> Vec<(String, String)> {
    if system.has_broker_server() {
        let printed = Tools::new(&system.broker_url()).consume(topic);
        let message = |line: &String| {
            let (headers, rest) = line.split_once('\t')?;
            let id = headers.split(',').find_map(|header| header.strip_prefix("event_id:"))?;
            Some((id.to_owned(), rest.split('\t').next()?.to_owned()))
        };
        return printed.iter().filter_map(message).collect();
    }
    let sql =
        format!("SELECT headers FROM fs_records WHERE topic = '{topic}' ORDER BY partition, record_offset");
    let message = |row: Vec<Option<String>>| {
        let headers: Value = serde_json::from_str(row[0].as_deref().unwrap_or_default()).ok()?;
        let of = |name: &str| {
            let header = headers.as_array()?.iter().find(|header| header["name"] == name)?;
            header["value"].as_str().map(str::to_owned)
        };
        Some((of("event_id")?, of("aggregate_id")))
    };
    let ids = ledger::query(&system.store, &sql).into_iter().filter_map(message);
    // The embedded broker keeps the key as bytes: the log knows it, too.
    let keys: BTreeMap<String, String> =
        ledger::query(&system.store, "SELECT event_id, aggregate_id FROM events")
            .into_iter()
            .filter_map(|row| Some((row[0].clone()?, row[1].clone()?)))
            .collect();
    ids.filter_map(|(id, _)| keys.get(&id).map(|key| (id.clone(), key.clone()))).collect()
}
