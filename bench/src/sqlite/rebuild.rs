//! S3: `order_projections` anew from a log of two events an order.

use super::append::open;
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use crate::workload::{Ids, RawEvent};
use factstream::App;
use factstream::event::EventSet;
use orders::order::{Order, OrderEvent};
use orders::projection::OrderProjection;
use rusqlite::{Connection, params};
use std::path::PathBuf;
use std::time::Instant;

const PAGE_EVENTS: usize = 1_000;
/// Events of a commit while a log is filled.
const FILL_EVENTS: usize = 100_000;
const INSERT: &str =
    "INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type,
    schema_version, event_data, metadata, timestamp) VALUES (?1, 'order', ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8)";
const PAGE: &str =
    "SELECT position, aggregate_id, event_type, event_data, timestamp FROM events WHERE position > ?1
    ORDER BY position LIMIT ?2";
const TABLE: &str = "DROP TABLE IF EXISTS raw_projections;
    CREATE TABLE raw_projections (order_id TEXT PRIMARY KEY NOT NULL, customer_id TEXT NOT NULL, items TEXT NOT NULL,
        status TEXT NOT NULL, tracking_number TEXT, created_at TEXT NOT NULL, shipped_at TEXT);
    CREATE INDEX raw_customer ON raw_projections (customer_id, order_id);
    CREATE INDEX raw_status ON raw_projections (status, order_id);
    CREATE TABLE IF NOT EXISTS raw_checkpoint (id INTEGER PRIMARY KEY, position INTEGER NOT NULL);
    INSERT OR REPLACE INTO raw_checkpoint VALUES (1, 0)";
const UPSERT: &str = "INSERT INTO raw_projections (order_id, customer_id, items, status, created_at)
    VALUES (?1, ?2, ?3, 'PENDING', ?4) ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id,
    items = excluded.items, status = excluded.status, created_at = excluded.created_at";
const SHIP: &str = "UPDATE raw_projections SET status = 'SHIPPED', tracking_number = ?2, shipped_at = ?3
    WHERE order_id = ?1";

fn file(place: &Place) -> PathBuf {
    place.folder.join("rebuild.db")
}

async fn app(place: &Place) -> Result<App, Failed> {
    let url = format!("sqlite://{}", file(place).display());
    Ok(App::builder(url)
        .upcasters(orders::order::upcasters())
        .aggregate::<Order>()
        .read_model::<OrderProjection>()
        .open()
        .await?)
}

/// A store with a log.
pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let began = Instant::now();
    drop(app(&place).await?);
    fill(&open(&file(&place))?, place.size)?;
    Ok(Figures::rate(place.size * 2, began))
}

/// Fills a log that factstream has made and that is empty.
pub(crate) fn fill(connection: &Connection, orders: u64) -> Result<(), Failed> {
    let mut head = 0_i64;
    let mut events = RawEvent::all(Ids::new(), orders).peekable();
    while events.peek().is_some() {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = connection.prepare_cached(INSERT)?;
        for event in events.by_ref().take(FILL_EVENTS) {
            head += 1;
            let RawEvent { aggregate_id, version, event_id, event_type, data, metadata, timestamp } = event;
            let id = event_id.to_string();
            insert.execute(params![
                head,
                aggregate_id,
                version,
                id,
                event_type,
                data,
                metadata,
                timestamp
            ])?;
        }
        connection.execute_batch("COMMIT")?;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

pub(crate) async fn rebuild(place: Place) -> Result<Figures, Failed> {
    let app = app(&place).await?;
    let began = Instant::now();
    let done = app.rebuild("order_projections", |_| {}).await?;
    let figures = Figures::rate(done.position, began);
    let (rows, shipped) = count(&open(&file(&place))?, "order_projections")?;
    check(&place, rows, shipped)?;
    Ok(figures)
}

pub(crate) fn raw(place: &Place) -> Result<Figures, Failed> {
    let connection = open(&file(place))?;
    let began = Instant::now();
    connection.execute_batch(TABLE)?;
    let mut position = 0;
    loop {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let (read, last) = page(&connection, position)?;
        connection.prepare_cached("UPDATE raw_checkpoint SET position = ?1")?.execute([last])?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        position = last;
        if read < PAGE_EVENTS {
            break;
        }
    }
    let figures = Figures::rate(position.cast_unsigned(), began);
    let (rows, shipped) = count(&connection, "raw_projections")?;
    check(place, rows, shipped)?;
    Ok(figures)
}

fn page(connection: &Connection, after: i64) -> Result<(usize, i64), Failed> {
    let mut select = connection.prepare_cached(PAGE)?;
    let mut upsert = connection.prepare_cached(UPSERT)?;
    let mut update = connection.prepare_cached(SHIP)?;
    let (mut read, mut last) = (0, after);
    let mut rows = select.query(params![after, PAGE_EVENTS as i64])?;
    while let Some(row) = rows.next()? {
        let id: &str = row.get_ref(1)?.as_str()?;
        let timestamp: &str = row.get_ref(4)?.as_str()?;
        match OrderEvent::decode(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?) {
            Some(Ok(OrderEvent::Created { customer_id, items, .. })) => {
                upsert.execute(params![id, customer_id, serde_json::to_string(&items)?, timestamp])?;
            }
            Some(Ok(OrderEvent::Shipped { tracking_number })) => {
                update.execute(params![id, tracking_number, timestamp])?;
            }
            _ => return Err("there are only orders in this log".into()),
        }
        (read, last) = (read + 1, row.get(0)?);
    }
    Ok((read, last))
}

fn count(connection: &Connection, table: &str) -> Result<(u64, u64), Failed> {
    let sql = format!("SELECT count(*), count(shipped_at) FROM {table}");
    let counts: (i64, i64) = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((counts.0.cast_unsigned(), counts.1.cast_unsigned()))
}

/// Whoever is fast and wrong is not fast.
pub(crate) fn check(place: &Place, rows: u64, shipped: u64) -> Result<(), Failed> {
    match (rows, shipped) == (place.size, place.size) {
        true => Ok(()),
        false => Err(format!("{rows} rows, {shipped} shipped; {} were to be", place.size).into()),
    }
}
