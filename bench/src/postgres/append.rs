//! P1, P2 and P5: orders created and shipped.

use super::support::{Json, check_events, connect};
use crate::Failed;
use crate::commands;
use crate::contest::Place;
use crate::figures::{Figures, Times, drive};
use crate::workload::{Ids, RawEvent};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

/// The table of events and its rules, as factstream has them; its positions come from a sequence.
const TABLE: &str = "CREATE TABLE events (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, aggregate_type TEXT NOT NULL, aggregate_id TEXT NOT NULL,
    version BIGINT NOT NULL, event_id UUID NOT NULL UNIQUE, event_type TEXT NOT NULL, schema_version BIGINT NOT NULL,
    event_data JSON NOT NULL, metadata JSON NOT NULL, timestamp TIMESTAMPTZ NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, version))";
const INSERT: &str =
    "INSERT INTO events (aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp) VALUES ('order', $1, $2, $3, $4, 1, $5, $6, $7)";
const INSERT_MANY: &str =
    "INSERT INTO events (aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp) SELECT 'order', aggregate_id, version, event_id, event_type, 1, event_data, metadata,
    timestamp FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::json[], $6::json[], $7::timestamptz[])
    AS e (aggregate_id, version, event_id, event_type, event_data, metadata, timestamp)";

pub(crate) async fn commands(place: Place, callers: u64) -> Result<Figures, Failed> {
    let app = commands::open(&place.database).await?;
    let figures = commands::run(&app, callers, place.size).await?;
    check_events(&connect(&place.database).await?, place.size).await?;
    Ok(figures)
}

/// P5: the same in one call for so many.
pub(crate) async fn in_bulk(place: Place, per_call: u64) -> Result<Figures, Failed> {
    let app = commands::open(&place.database).await?;
    let figures = commands::run_in_bulk(&app, per_call, place.size).await?;
    check_events(&connect(&place.database).await?, place.size).await?;
    Ok(figures)
}

/// A connection that inserts.
struct Lane {
    client: Client,
    insert: Statement,
}

impl Lane {
    async fn open(url: &str) -> Result<Self, Failed> {
        let client = connect(url).await?;
        let insert = client.prepare(INSERT).await?;
        Ok(Self { client, insert })
    }

    async fn insert(&self, event: RawEvent) -> Result<(), Failed> {
        let RawEvent { aggregate_id, version, event_id, event_type, data, metadata, .. } = event;
        let (data, metadata, now) = (Json(data), Json(metadata), SystemTime::now());
        self.client
            .execute(&self.insert, &[&aggregate_id, &version, &event_id, &event_type, &data, &metadata, &now])
            .await?;
        Ok(())
    }
}

/// Each caller inserts on a connection of its own.
pub(crate) async fn one_by_one(place: Place, connections: u64) -> Result<Figures, Failed> {
    let client = connect(&place.database).await?;
    client.batch_execute(TABLE).await?;
    let mut lanes = Vec::new();
    for _ in 0..connections {
        lanes.push(Lane::open(&place.database).await?);
    }
    let (lanes, ids) = (Arc::new(lanes), Ids::new());
    let figures = drive(connections, place.size, move |order, step| {
        let lanes = Arc::clone(&lanes);
        async move { lanes[(order % connections) as usize].insert(RawEvent::new(ids, order, step)).await }
    })
    .await?;
    check_events(&client, place.size).await?;
    Ok(figures)
}

/// The columns of several events.
#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    versions: Vec<i64>,
    event_ids: Vec<Uuid>,
    types: Vec<&'static str>,
    data: Vec<Json>,
    metadata: Vec<Json>,
    timestamps: Vec<SystemTime>,
}

impl Columns {
    fn push(&mut self, event: RawEvent) {
        self.ids.push(event.aggregate_id);
        self.versions.push(event.version);
        self.event_ids.push(event.event_id);
        self.types.push(event.event_type);
        self.data.push(Json(event.data));
        self.metadata.push(Json(event.metadata));
        self.timestamps.push(SystemTime::now());
    }
}

pub(crate) async fn batches(place: Place, per_commit: usize) -> Result<Figures, Failed> {
    let client = connect(&place.database).await?;
    client.batch_execute(TABLE).await?;
    let insert = client.prepare(INSERT_MANY).await?;
    let (began, mut times) = (Instant::now(), Times::new());
    let mut events = RawEvent::all(Ids::new(), place.size).peekable();
    while events.peek().is_some() {
        let began = Instant::now();
        let mut columns = Columns::default();
        events.by_ref().take(per_commit).for_each(|event| columns.push(event));
        let Columns { ids, versions, event_ids, types, data, metadata, timestamps } = &columns;
        client.execute(&insert, &[ids, versions, event_ids, types, data, metadata, timestamps]).await?;
        times.record(began.elapsed());
    }
    let figures = Figures::rate(place.size * 2, began).with_latency(&times);
    check_events(&client, place.size).await?;
    Ok(figures)
}
