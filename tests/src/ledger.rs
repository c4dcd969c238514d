//! What the tables must hold, looked up with plain SQL in the file itself.

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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

/// Opens the file for reading.
///
/// # Panics
/// When it cannot be opened.
pub fn open(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store's file opens")
}

/// The whole log.
///
/// # Panics
/// When it cannot be read.
pub fn events(connection: &Connection) -> Vec<Event> {
    let sql = "SELECT position, aggregate_type, aggregate_id, version, event_type, event_data FROM events ORDER BY position";
    let mut select = connection.prepare(sql).expect("the table events is there");
    let rows = select.query_map([], |row| {
        let data: String = row.get(5)?;
        Ok(Event {
            position: row.get(0)?,
            aggregate_type: row.get(1)?,
            aggregate_id: row.get(2)?,
            version: row.get(3)?,
            event_type: row.get(4)?,
            data: serde_json::from_str(&data).expect("event_data is JSON"),
        })
    });
    rows.expect("the log can be read").map(|event| event.expect("an event can be read")).collect()
}

/// Checks all that must hold whatever happened, when everything has settled: the log without gaps, one charge for each
/// order, stock conserved and never negative, and rows that equal a fold.
///
/// # Panics
/// When something does not hold; says what.
pub fn check(path: &Path) {
    let connection = open(path);
    let events = events(&connection);
    check_log(&events);
    check_stock(&events);
    let (folded, charged) = fold(&events);
    for (order, status) in &folded {
        assert_eq!(charged.get(order), Some(&1), "charges of order {order} ({status})");
    }
    assert_eq!(rows(&connection), folded, "rows of order_projections, and a fold over the log");
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

fn rows(connection: &Connection) -> BTreeMap<String, String> {
    let mut select =
        connection.prepare("SELECT order_id, status FROM order_projections").expect("the table is there");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the rows can be read");
    rows.map(|row| row.expect("a row can be read")).collect()
}
