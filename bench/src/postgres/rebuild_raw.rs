//! P3 by hand: pages of 1,000 events, folded in memory to one row an order, each page one transaction and two exchanges with
//! the server.

use super::support::{check_rows, connect};
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use factstream::event::EventSet;
use factstream::sql::format_timestamp;
use jiff::Timestamp;
use orders::order::OrderEvent;
use std::collections::HashMap;
use std::time::{Instant, SystemTime};
use tokio_postgres::{Client, Row, Statement};

const PAGE_EVENTS: i64 = 1_000;
const TABLE: &str = "DROP TABLE IF EXISTS raw_projections;
    CREATE TABLE raw_projections (order_id TEXT PRIMARY KEY NOT NULL, customer_id TEXT NOT NULL, items TEXT NOT NULL,
        status TEXT NOT NULL, tracking_number TEXT, created_at TEXT NOT NULL, shipped_at TEXT);
    CREATE INDEX raw_customer ON raw_projections (customer_id, order_id);
    CREATE INDEX raw_status ON raw_projections (status, order_id);
    CREATE TABLE IF NOT EXISTS raw_checkpoint (id INTEGER PRIMARY KEY, position BIGINT NOT NULL);
    INSERT INTO raw_checkpoint VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET position = 0";
const PAGE: &str =
    "SELECT position, aggregate_id, event_type, event_data::text, timestamp FROM events WHERE position > $1
    ORDER BY position LIMIT $2";
const UPSERT: &str =
    "INSERT INTO raw_projections (order_id, customer_id, items, status, tracking_number, created_at, shipped_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id, items = excluded.items,
    status = excluded.status, tracking_number = excluded.tracking_number, created_at = excluded.created_at,
    shipped_at = excluded.shipped_at";
const SHIP: &str = "UPDATE raw_projections SET status = 'SHIPPED', tracking_number = s.tracking_number,
    shipped_at = s.shipped_at FROM unnest($1::text[], $2::text[], $3::text[]) AS s (order_id, tracking_number, shipped_at)
    WHERE raw_projections.order_id = s.order_id";
const MOVE: &str = "UPDATE raw_checkpoint SET position = $1";

struct Statements {
    page: Statement,
    upsert: Statement,
    ship: Statement,
    advance: Statement,
}

pub(crate) async fn rebuild(place: Place) -> Result<Figures, Failed> {
    let client = connect(&place.shared).await?;
    let began = Instant::now();
    client.batch_execute(TABLE).await?;
    let statements = Statements {
        page: client.prepare(PAGE).await?,
        upsert: client.prepare(UPSERT).await?,
        ship: client.prepare(SHIP).await?,
        advance: client.prepare(MOVE).await?,
    };
    let mut position = 0;
    while let Some(last) = page(&client, &statements, position).await? {
        position = last;
    }
    let figures = Figures::rate(position.cast_unsigned(), began);
    check_rows(&client, "raw_projections", place.size).await?;
    Ok(figures)
}

/// One transaction; the position of its last event.
async fn page(client: &Client, statements: &Statements, after: i64) -> Result<Option<i64>, Failed> {
    let begin = client.batch_execute("BEGIN");
    let read = async {
        let rows = client.query(&statements.page, &[&after, &PAGE_EVENTS]).await;
        rows.map_err(Failed::from)
    };
    let ((), rows) =
        futures_util::future::try_join(async { begin.await.map_err(Failed::from) }, read).await?;
    let last = rows.last().map(|row| row.get::<_, i64>(0));
    let (created, shipped) = fold(&rows)?;
    let Rows { ids, customers, items, statuses, parcels, created_at, shipped_at } = &created;
    let Shipped { ids: elsewhere, parcels: later_parcels, at } = &shipped;
    let position = last.unwrap_or(after);
    futures_util::future::try_join4(
        client
            .execute(&statements.upsert, &[ids, customers, items, statuses, parcels, created_at, shipped_at]),
        client.execute(&statements.ship, &[elsewhere, later_parcels, at]),
        client.execute(&statements.advance, &[&position]),
        async { client.batch_execute("COMMIT").await },
    )
    .await?;
    Ok(last)
}

/// The rows of the orders that were created in a page, as the page leaves them.
#[derive(Default)]
struct Rows<'a> {
    ids: Vec<&'a str>,
    customers: Vec<String>,
    items: Vec<String>,
    statuses: Vec<&'static str>,
    parcels: Vec<Option<String>>,
    created_at: Vec<String>,
    shipped_at: Vec<Option<String>>,
}

/// Orders of earlier pages that were shipped in this one.
#[derive(Default)]
struct Shipped<'a> {
    ids: Vec<&'a str>,
    parcels: Vec<String>,
    at: Vec<String>,
}

fn fold(events: &[Row]) -> Result<(Rows<'_>, Shipped<'_>), Failed> {
    let (mut rows, mut shipped) = (Rows::default(), Shipped::default());
    let mut created: HashMap<&str, usize> = HashMap::with_capacity(events.len());
    for event in events {
        let id: &str = event.get(1);
        let at = format_timestamp(Timestamp::try_from(event.get::<_, SystemTime>(4))?);
        match OrderEvent::decode(event.get(2), event.get(3)) {
            Some(Ok(OrderEvent::Created { customer_id, items, .. })) => {
                created.insert(id, rows.ids.len());
                rows.ids.push(id);
                rows.customers.push(customer_id);
                rows.items.push(serde_json::to_string(&items)?);
                rows.statuses.push("PENDING");
                rows.parcels.push(None);
                rows.created_at.push(at);
                rows.shipped_at.push(None);
            }
            Some(Ok(OrderEvent::Shipped { tracking_number })) => {
                if let Some(row) = created.get(id) {
                    rows.statuses[*row] = "SHIPPED";
                    rows.parcels[*row] = Some(tracking_number);
                    rows.shipped_at[*row] = Some(at);
                } else {
                    shipped.ids.push(id);
                    shipped.parcels.push(tracking_number);
                    shipped.at.push(at);
                }
            }
            _ => return Err("there are only orders in this log".into()),
        }
    }
    Ok((rows, shipped))
}
