//! What the tables must hold, looked up with plain SQL in the database itself.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One event as it lies in the file.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the log.
    pub position: i64,
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// Its place in the stream.
    pub version: i64,
    /// The type.
    pub event_type: String,
    /// Its own fields.
    pub data: Value,
}

/// The rows that a statement gives, each value as text; read with the database's own client, not with the framework.
///
/// # Panics
/// When the store cannot be read.
pub fn query(store: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    match store.strip_prefix("sqlite://") {
        Some(path) => query_sqlite(path, sql),
        None => query_postgres(store, sql),
    }
}

fn query_sqlite(path: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.expect("the store's file opens");
    let mut select = connection.prepare(sql).expect("the tables are there");
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|at| Ok(text(row.get_ref(at)?))).collect());
    rows.expect("the file can be read").map(|row| row.expect("a row can be read")).collect()
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn query_postgres(url: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    let mut client = postgres::Client::connect(url, postgres::NoTls).expect("the database answers");
    let answers = client.simple_query(sql).expect("the tables are there");
    let rows = answers.iter().filter_map(|answer| match answer {
        postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    });
    rows.collect()
}

/// The whole log.
///
/// # Panics
/// When it cannot be read.
pub fn events(store: &str) -> Vec<Event> {
    let sql = "SELECT position, aggregate_type, aggregate_id, version, event_type, event_data FROM events ORDER BY position";
    let event = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(|value| value.expect("no column of an event is NULL"));
        let mut next = || row.next().expect("six columns");
        Event {
            position: next().parse().expect("a position is a number"),
            aggregate_type: next(),
            aggregate_id: next(),
            version: next().parse().expect("a version is a number"),
            event_type: next(),
            data: serde_json::from_str(&next()).expect("event_data is JSON"),
        }
    };
    query(store, sql).into_iter().map(event).collect()
}

/// Checks all that must hold whatever happened, when everything has settled: the log without gaps, one charge for each
/// order, stock conserved and never negative, and rows that equal a fold.
///
/// # Panics
/// When something does not hold; says what.
pub fn check(store: &str) {
    let events = events(store);
    check_log(&events);
    check_stock(&events);
    let (folded, charged) = fold(&events);
    for (order, status) in &folded {
        assert_eq!(charged.get(order), Some(&1), "charges of order {order} ({status})");
    }
    assert_eq!(rows(store), folded, "rows of order_projections, and a fold over the log");
}

fn check_log(events: &[Event]) {
    let mut versions: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for (position, event) in (1..).zip(events) {
        assert_eq!(event.position, position, "positions have no gap");
        let version = versions.entry((&event.aggregate_type, &event.aggregate_id)).or_default();
        *version += 1;
        assert_eq!(event.version, *version, "versions of {} are contiguous", event.aggregate_id);
    }
}

fn check_stock(events: &[Event]) {
    let mut available: BTreeMap<&str, i64> = BTreeMap::new();
    let mut held: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.event_type == "InventoryUpdated") {
        let change = event.data["change"].as_i64().expect("a change is a number");
        let count = available.entry(event.aggregate_id.as_str()).or_default();
        *count += change;
        assert!(*count >= 0, "stock of {} is negative at {}", event.aggregate_id, event.position);
        assert_eq!(event.data["available"].as_i64(), Some(*count), "stock at {}", event.position);
        if let Some(order) = event.data["order_id"].as_str() {
            *held.entry(order).or_default() -= change;
        }
    }
    let cancelled: BTreeSet<&str> = of_type(events, "OrderCancelled");
    for order in cancelled {
        assert_eq!(held.get(order).copied().unwrap_or(0), 0, "a cancelled order holds nothing: {order}");
    }
    for order in of_type(events, "OrderShipped") {
        assert!(held.get(order).copied().unwrap_or(0) > 0, "a shipped order took its stock: {order}");
    }
}

/// The aggregates that have an event of this type.
pub fn of_type<'a>(events: &'a [Event], event_type: &str) -> BTreeSet<&'a str> {
    let of_type = events.iter().filter(|event| event.event_type == event_type);
    of_type.map(|event| event.aggregate_id.as_str()).collect()
}

/// The status of each order, and how often each was charged.
fn fold(events: &[Event]) -> (BTreeMap<String, String>, BTreeMap<String, u32>) {
    let (mut orders, mut charged) = (BTreeMap::new(), BTreeMap::<String, u32>::new());
    for event in events {
        let status = match event.event_type.as_str() {
            "OrderCreated" => {
                assert!(
                    !orders.contains_key(&event.aggregate_id),
                    "order {} was created twice",
                    event.aggregate_id
                );
                "PENDING"
            }
            "OrderShipped" => "SHIPPED",
            "OrderCancelled" => "CANCELLED",
            "PaymentProcessed" => {
                *charged.entry(event.aggregate_id.clone()).or_default() += 1;
                continue;
            }
            _ => continue,
        };
        orders.insert(event.aggregate_id.clone(), status.to_owned());
    }
    (orders, charged)
}

fn rows(store: &str) -> BTreeMap<String, String> {
    let rows = query(store, "SELECT order_id, status FROM order_projections").into_iter();
    let pair = |row: Vec<Option<String>>| match <[_; 2]>::try_from(row) {
        Ok([Some(order_id), Some(status)]) => (order_id, status),
        other => panic!("a row of order_projections is {other:?}"),
    };
    rows.map(pair).collect()
}
