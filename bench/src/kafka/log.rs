//! A log in PostgreSQL that is there before the clock starts.

use super::support::connect;
use crate::Failed;
use crate::workload::{Ids, RawEvent};
use factstream::App;
use orders::order::Order;
use tokio_postgres::Client;
use uuid::Uuid;

const CHUNK_EVENTS: usize = 1_000;
const INSERT: &str = "INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type,
    schema_version, event_data, metadata, timestamp)
    SELECT position, 'order', id, version, event_id, type, 1, data::json, metadata::json, timestamp::timestamptz
    FROM unnest($1::int8[], $2::text[], $3::int8[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS new (position, id, version, event_id, type, data, metadata, timestamp)";

/// The application of the contests: it has nothing but orders.
pub(crate) async fn app(store: &str, kafka: &str) -> Result<App, Failed> {
    Ok(App::builder(store).broker(kafka).aggregate::<Order>().open().await?)
}

/// Fills an empty database with the events of so many orders.
pub(crate) async fn fill(store: &str, kafka: &str, orders: u64) -> Result<(), Failed> {
    drop(app(store, kafka).await?);
    let client = connect(store).await?;
    client.batch_execute("BEGIN").await?;
    let mut events = RawEvent::all(Ids::new(), orders).peekable();
    let mut head = 0;
    while events.peek().is_some() {
        head = insert(&client, head, events.by_ref().take(CHUNK_EVENTS)).await?;
    }
    client.execute("UPDATE fs_log SET head = $1", &[&head]).await?;
    client.batch_execute("COMMIT").await?;
    client.batch_execute("VACUUM ANALYZE events").await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

async fn insert(
    client: &Client,
    mut head: i64,
    events: impl Iterator<Item = RawEvent>,
) -> Result<i64, Failed> {
    let (mut positions, mut ids, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    let mut event_ids: Vec<Uuid> = Vec::new();
    let (mut types, mut data) = (Vec::new(), Vec::new());
    let (mut metadata, mut timestamps) = (Vec::new(), Vec::new());
    for event in events {
        head += 1;
        positions.push(head);
        ids.push(event.aggregate_id);
        versions.push(event.version);
        event_ids.push(event.event_id);
        types.push(event.event_type);
        data.push(event.data);
        metadata.push(event.metadata);
        timestamps.push(event.timestamp);
    }
    client
        .execute(INSERT, &[&positions, &ids, &versions, &event_ids, &types, &data, &metadata, &timestamps])
        .await?;
    Ok(head)
}
