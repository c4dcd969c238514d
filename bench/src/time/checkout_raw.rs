//! X1 by hand: batches of 500 orders, each one transaction that writes the rows that factstream writes, and no more exchanges
//! than that takes.

use super::checkout::{OrderEvent, PAYMENT_DUE, PROCESS, TIMER, check, place_orders};
use super::store::Own;
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use crate::postgres::{Json, connect};
use crate::sqlite::open;
use factstream::App;
use factstream::event::EventSet;
use factstream::sql::{format_timestamp, now};
use futures_util::future::try_join_all;
use rusqlite::{Connection, params};
use std::pin::Pin;
use std::time::{Instant, SystemTime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

const BATCH: i64 = 500;

/// What follows from an order that was placed.
struct Taken {
    order_id: String,
    event_id: String,
    position: i64,
    state: String,
    acts: String,
    token: String,
    payment_id: Uuid,
    data: String,
    metadata: String,
    origin: String,
}

impl Taken {
    fn of(position: i64, order_id: &str, event_id: String, json: &str) -> Result<Self, Failed> {
        let Some(Ok(OrderEvent::Placed { customer_id, cents })) = OrderEvent::decode("OrderPlaced", json)
        else {
            return Err("there are only orders in this log".into());
        };
        let context = format!(r#""correlation_id":"{event_id}","causation_id":"{event_id}""#);
        Ok(Self {
            state: format!(r#"{{"customer_id":"{customer_id}","cents":{cents}}}"#),
            acts: format!(
                r#"[{{"act":"command","aggregate":"payment","id":"{order_id}","command":"RequestPayment {{ cents: {cents} }}"}},{{"act":"timer","name":"payment","due":"after 15m"}}]"#
            ),
            token: Uuid::now_v7().to_string(),
            payment_id: Uuid::now_v7(),
            data: format!(r#"{{"cents":{cents}}}"#),
            metadata: format!(r#"{{"source":"bench",{context}}}"#),
            origin: format!("{{{context}}}"),
            order_id: order_id.to_owned(),
            event_id,
            position,
        })
    }
}

fn times() -> (String, String) {
    let now = now();
    (format_timestamp(now), format_timestamp(now + PAYMENT_DUE))
}

mod on_postgres {
    pub(super) const READ: &str = "SELECT position, aggregate_id, event_id, event_data::text FROM events
        WHERE position > $1 AND event_type = 'OrderPlaced' ORDER BY position LIMIT $2";
    pub(super) const MOVE: &str =
        "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (handler, generation, shard) DO UPDATE SET position = $2, updated_at = $3";
    pub(super) const MARK: &str = "INSERT INTO fs_inbox (handler, event_id, handled_at) SELECT $1, id, $3 FROM unnest($2::text[]) AS id";
    pub(super) const INSTANCES: &str =
        "INSERT INTO fs_processes (process, process_id, status, state, state_version, version,
        position, started_at, updated_at) SELECT $1, id, 'running', state, 1, 1, position, $5, $5
        FROM unnest($2::text[], $3::text[], $4::bigint[]) AS i (id, state, position)";
    pub(super) const HISTORY: &str =
        "INSERT INTO fs_process_history (process, process_id, version, kind, input_id, position,
        acts, at) SELECT $1, id, 1, 'event', input_id, position, acts, $6
        FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[]) AS h (id, input_id, position, acts)";
    pub(super) const TIMERS: &str =
        "INSERT INTO fs_timers (handler, timer_key, name, token, due_at, wakes_at, payload_type,
        payload, origin, set_at) SELECT $1, id, $2, token, $6, $6, '', 'null', origin, $7
        FROM unnest($3::text[], $4::text[], $5::text[]) AS t (id, token, origin)";
    pub(super) const EVENTS: &str = "WITH moved AS (UPDATE fs_log SET head = head + $6 WHERE id = 1 RETURNING head)
        INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
        event_data, metadata, timestamp)
        SELECT moved.head - $6 + place, 'payment', id, 1, event_id, 'PaymentRequested', 1, data, metadata, $5
        FROM moved, unnest($1::text[], $2::uuid[], $3::json[], $4::json[]) WITH ORDINALITY
            AS e (id, event_id, data, metadata, place)";
}

pub(super) async fn postgres(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    place_orders(&own, place.size).await?;
    let client = connect(&own.url).await?;
    let statements = Statements::prepare(&client).await?;
    let (began, mut at) = (Instant::now(), 0);
    while let Some(to) = batch(&client, &statements, at).await? {
        at = to;
    }
    let figures = Figures::rate(place.size, began);
    check(&App::open(&own.url).await?, place.size).await?;
    Ok(figures)
}

struct Statements {
    read: Statement,
    advance: Statement,
    mark: Statement,
    instances: Statement,
    history: Statement,
    timers: Statement,
    events: Statement,
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Failed> {
        Ok(Self {
            read: client.prepare(on_postgres::READ).await?,
            advance: client.prepare(on_postgres::MOVE).await?,
            mark: client.prepare(on_postgres::MARK).await?,
            instances: client.prepare(on_postgres::INSTANCES).await?,
            history: client.prepare(on_postgres::HISTORY).await?,
            timers: client.prepare(on_postgres::TIMERS).await?,
            events: client.prepare(on_postgres::EVENTS).await?,
        })
    }
}

/// A statement that is sent, and may not be answered yet.
type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send + 'a>>;

/// One transaction, sent without waiting in between; where it has come to.
async fn batch(client: &Client, statements: &Statements, after: i64) -> Result<Option<i64>, Failed> {
    let rows = client.query(&statements.read, &[&after, &BATCH]).await?;
    let Some(to) = rows.last().map(|row| row.get::<_, i64>(0)) else { return Ok(None) };
    let of = |row: &tokio_postgres::Row| {
        Taken::of(row.get(0), row.get(1), row.get::<_, Uuid>(2).to_string(), row.get(3))
    };
    let taken = rows.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let ((now, due), at) = (times(), SystemTime::now());
    let texts = |of: fn(&Taken) -> &str| -> Vec<&str> { taken.iter().map(of).collect() };
    let (ids, inputs) = (texts(|t| &t.order_id), texts(|t| &t.event_id));
    let (states, acts) = (texts(|t| &t.state), texts(|t| &t.acts));
    let (tokens, origins) = (texts(|t| &t.token), texts(|t| &t.origin));
    let positions: Vec<i64> = taken.iter().map(|t| t.position).collect();
    let payments: Vec<Uuid> = taken.iter().map(|t| t.payment_id).collect();
    let json =
        |of: fn(&Taken) -> &String| -> Vec<Json> { taken.iter().map(|t| Json(of(t).clone())).collect() };
    let (data, metadata) = (json(|t| &t.data), json(|t| &t.metadata));
    let count = i64::try_from(taken.len())?;
    let writes: [(&Statement, &[&(dyn ToSql + Sync)]); 6] = [
        (&statements.advance, &[&PROCESS, &to, &now]),
        (&statements.mark, &[&PROCESS, &inputs, &now]),
        (&statements.instances, &[&PROCESS, &ids, &states, &positions, &now]),
        (&statements.history, &[&PROCESS, &ids, &inputs, &positions, &acts, &now]),
        (&statements.timers, &[&PROCESS, &TIMER, &ids, &tokens, &origins, &due, &now]),
        (&statements.events, &[&ids, &payments, &data, &metadata, &at, &count]),
    ];
    let begin: Sent<'_> = Box::pin(client.batch_execute("BEGIN"));
    let commit: Sent<'_> = Box::pin(client.batch_execute("COMMIT"));
    let all = writes.iter().map(|(statement, params)| -> Sent<'_> {
        Box::pin(async { client.execute(*statement, params).await.map(drop) })
    });
    try_join_all(std::iter::once(begin).chain(all).chain([commit])).await?;
    Ok(Some(to))
}

mod on_sqlite {
    pub(super) const READ: &str = "SELECT position, aggregate_id, event_id, event_data FROM events
        WHERE position > ?1 AND event_type = 'OrderPlaced' ORDER BY position LIMIT ?2";
    pub(super) const MOVE: &str =
        "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES (?1, ?2, ?3)
        ON CONFLICT (handler, generation, shard) DO UPDATE SET position = ?2, updated_at = ?3";
    pub(super) const MARK: &str = "INSERT INTO fs_inbox (handler, event_id, handled_at) VALUES (?1, ?2, ?3)";
    pub(super) const INSTANCE: &str =
        "INSERT INTO fs_processes (process, process_id, status, state, state_version, version,
        position, started_at, updated_at) VALUES (?1, ?2, 'running', ?3, 1, 1, ?4, ?5, ?5)";
    pub(super) const HISTORY: &str =
        "INSERT INTO fs_process_history (process, process_id, version, kind, input_id, position,
        acts, at) VALUES (?1, ?2, 1, 'event', ?3, ?4, ?5, ?6)";
    pub(super) const TIMER: &str =
        "INSERT INTO fs_timers (handler, timer_key, name, token, due_at, wakes_at, payload_type,
        payload, origin, set_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5, '', 'null', ?6, ?7)";
    pub(super) const EVENT: &str =
        "INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type,
        schema_version, event_data, metadata, timestamp)
        VALUES (?1, 'payment', ?2, 1, ?3, 'PaymentRequested', 1, ?4, ?5, ?6)";
}

pub(super) async fn sqlite(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    place_orders(&own, place.size).await?;
    let connection = open(own.file()?)?;
    let (began, mut at) = (Instant::now(), 0);
    let mut head: i64 = connection.query_row("SELECT max(position) FROM events", [], |row| row.get(0))?;
    while let Some(to) = write(&connection, at, &mut head)? {
        at = to;
    }
    let figures = Figures::rate(place.size, began);
    drop(connection);
    check(&App::open(&own.url).await?, place.size).await?;
    Ok(figures)
}

/// One transaction; where it has come to.
fn write(connection: &Connection, after: i64, head: &mut i64) -> Result<Option<i64>, Failed> {
    let taken = read(connection, after)?;
    let Some(to) = taken.last().map(|taken| taken.position) else { return Ok(None) };
    let (now, due) = times();
    let prepare = |sql| connection.prepare_cached(sql);
    prepare("BEGIN IMMEDIATE")?.execute([])?;
    prepare(on_sqlite::MOVE)?.execute(params![PROCESS, to, now])?;
    let (mut mark, mut instance) = (prepare(on_sqlite::MARK)?, prepare(on_sqlite::INSTANCE)?);
    let (mut history, mut timer) = (prepare(on_sqlite::HISTORY)?, prepare(on_sqlite::TIMER)?);
    let mut event = prepare(on_sqlite::EVENT)?;
    for t in &taken {
        *head += 1;
        mark.execute(params![PROCESS, t.event_id, now])?;
        instance.execute(params![PROCESS, t.order_id, t.state, t.position, now])?;
        history.execute(params![PROCESS, t.order_id, t.event_id, t.position, t.acts, now])?;
        timer.execute(params![PROCESS, t.order_id, TIMER, t.token, due, t.origin, now])?;
        event.execute(params![*head, t.order_id, t.payment_id.to_string(), t.data, t.metadata, now])?;
    }
    prepare("COMMIT")?.execute([])?;
    Ok(Some(to))
}

fn read(connection: &Connection, after: i64) -> Result<Vec<Taken>, Failed> {
    let mut read = connection.prepare_cached(on_sqlite::READ)?;
    let mut rows = read.query([after, BATCH])?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next()? {
        let (order_id, json) = (row.get_ref(1)?.as_str()?, row.get_ref(3)?.as_str()?);
        taken.push(Taken::of(row.get(0)?, order_id, row.get(2)?, json)?);
    }
    Ok(taken)
}
