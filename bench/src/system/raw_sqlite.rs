//! The same effects by hand, on one thread: for each order the seven events that factstream's system records, and its row. What
//! comes between events and rows (topics, inboxes, checkpoints) is left out: the program knows what follows from an order.

use super::{CALLERS, SKUS};
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use crate::sqlite::{TABLES, open};
use factstream::sql::{format_timestamp, now};
use rusqlite::{CachedStatement, Connection, params};
use std::time::Instant;
use uuid::Uuid;

const ROWS: &str = "CREATE TABLE order_projections (
    order_id TEXT PRIMARY KEY NOT NULL, customer_id TEXT NOT NULL, items TEXT NOT NULL, status TEXT NOT NULL,
    tracking_number TEXT, created_at TEXT NOT NULL, shipped_at TEXT, version BIGINT NOT NULL);
    CREATE INDEX order_customers ON order_projections (customer_id);
    CREATE INDEX order_statuses ON order_projections (status)";
const INSERT_EVENT: &str =
    "INSERT INTO events (aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8)";
const INSERT_ROW: &str = "INSERT INTO order_projections VALUES (?1, ?2, ?3, 'SHIPPED', ?4, ?5, ?5, 4)";

pub(crate) fn run(place: &Place) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir_in(&place.folder)?;
    let connection = open(&folder.path().join("raw.db"))?;
    connection.execute_batch(TABLES)?;
    connection.execute_batch(ROWS)?;
    let mut stock = vec![Stock { version: 0, available: place.size * 6 }; SKUS as usize];
    let (began, mut times) = (Instant::now(), Times::new());
    for first in (0..place.size).step_by(CALLERS as usize) {
        let began = Instant::now();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for number in first..place.size.min(first + CALLERS) {
            write_order(&connection, number, &mut stock[(number % SKUS) as usize])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        times.record(began.elapsed());
    }
    let figures = Figures::rate(place.size, began).with_latency(&times);
    let count = |table| connection.query_row(table, [], |row| row.get::<_, i64>(0));
    let (events, rows) =
        (count("SELECT count(*) FROM events")?, count("SELECT count(*) FROM order_projections")?);
    match (events, rows) == (place.size.cast_signed() * 7, place.size.cast_signed()) {
        true => Ok(figures),
        false => Err(format!("{events} events and {rows} rows were written").into()),
    }
}

#[derive(Clone, Copy)]
struct Stock {
    version: i64,
    available: u64,
}

fn write_order(connection: &Connection, number: u64, stock: &mut Stock) -> Result<(), Failed> {
    let (order, sku, quantity) =
        (Uuid::now_v7().to_string(), format!("SKU-{}", number % SKUS + 1), number % 3 + 1);
    let (customer, at) = (format!("customer-{}", number % 50), format_timestamp(now()));
    let (items, amount) =
        (format!(r#"[{{"sku":"{sku}","quantity":{quantity},"price_cents":1999}}]"#), quantity * 1_999);
    stock.version += 1;
    stock.available -= quantity;
    let available = stock.available;
    let payment = format!("pay-{}", Uuid::now_v7());
    let tracking = format!("TN-{order}");
    let conversation = Uuid::now_v7();
    let mut events = Events { insert: connection.prepare_cached(INSERT_EVENT)?, conversation, at: &at };
    events.write(
        ("order", &order, 1, "OrderCreated"),
        &format!(r#"{{"customer_id":"{customer}","items":{items},"total_cents":{amount}}}"#),
        "orders.events",
    )?;
    events.write(
        ("payment", &order, 1, "PaymentProcessed"),
        &format!(
            r#"{{"order_id":"{order}","payment_id":"{payment}","amount_cents":{amount},"status":"APPROVED"}}"#
        ),
        "payments.events",
    )?;
    events.write(
        ("stock", &sku, stock.version, "InventoryUpdated"),
        &format!(
            r#"{{"sku":"{sku}","change":-{quantity},"available":{available},"reason":"RESERVED","order_id":"{order}"}}"#
        ),
        "inventory.events",
    )?;
    let held = format!(r#"{{"lines":[{{"sku":"{sku}","quantity":{quantity}}}]}}"#);
    events.write(("reservation", &order, 1, "ReservationHeld"), &held, "")?;
    let paid = format!(r#"{{"gateway":"simulated","payment_id":"{payment}"}}"#);
    events.write(("order", &order, 2, "OrderPaid"), &paid, "")?;
    events.write(("order", &order, 3, "OrderStockReserved"), &format!(r#"{{"sku":"{sku}"}}"#), "")?;
    let shipped = format!(r#"{{"tracking_number":"{tracking}"}}"#);
    events.write(("order", &order, 4, "OrderShipped"), &shipped, "orders.events")?;
    let mut row = connection.prepare_cached(INSERT_ROW)?;
    row.execute(params![order, customer, items, tracking, at])?;
    Ok(())
}

struct Events<'c> {
    insert: CachedStatement<'c>,
    conversation: Uuid,
    at: &'c str,
}

impl Events<'_> {
    fn write(
        &mut self,
        (category, id, version, event_type): (&str, &str, i64, &str),
        data: &str,
        topic: &str,
    ) -> Result<(), Failed> {
        let Self { insert, conversation, at } = self;
        let at: &str = at;
        let topic = if topic.is_empty() { String::new() } else { format!(r#","topic":"{topic}""#) };
        let metadata = format!(
            r#"{{"source":"orders","correlation_id":"{conversation}","causation_id":"{conversation}"{topic}}}"#
        );
        insert.execute(params![
            category,
            id,
            version,
            Uuid::now_v7().to_string(),
            event_type,
            data,
            metadata,
            at
        ])?;
        Ok(())
    }
}
