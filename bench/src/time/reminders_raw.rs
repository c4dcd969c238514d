//! W3 and W4 by hand, on factstream's tables: the same rows, in batches of 500.

use super::reminders::{SET_TOGETHER, app, check_fired, set_due, settle_timers};
use super::store::Own;
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use crate::postgres::{Json, connect};
use crate::sqlite::open;
use factstream::sql::{format_timestamp, now};
use rusqlite::params;
use std::time::{Duration, Instant, SystemTime};
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

const BATCH: i64 = 500;
const FAR: Duration = Duration::from_secs(24 * 3_600);
const HANDLER: &str = "raw";

fn metadata(conversation: Uuid) -> String {
    format!(r#"{{"source":"bench","correlation_id":"{conversation}","causation_id":"{conversation}"}}"#)
}

fn origin() -> String {
    let conversation = Uuid::now_v7();
    format!(r#"{{"correlation_id":"{conversation}","causation_id":"{conversation}"}}"#)
}

fn aggregate_id(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, id)| id)
}

const DUE: &str = "SELECT handler, timer_key, name, token, payload, origin FROM fs_timers
    WHERE wakes_at <= $1 ORDER BY wakes_at, timer_key, name LIMIT $2";
const DELETE_MANY: &str =
    "DELETE FROM fs_timers t USING unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS d (handler, timer_key, name, token) WHERE t.handler = d.handler AND t.timer_key = d.timer_key
    AND t.name = d.name AND t.token = d.token";
const INSERT_EVENTS: &str = "WITH moved AS (UPDATE fs_log SET head = head + $5 WHERE id = 1 RETURNING head)
    INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp)
    SELECT moved.head - $5 + place, 'reminder', id, 1, event_id, 'Reminded', 1, '{}', metadata, $4
    FROM moved, unnest($1::text[], $2::uuid[], $3::json[]) WITH ORDINALITY AS e (id, event_id, metadata, place)";
const SET_MANY: &str =
    "INSERT INTO fs_timers (handler, timer_key, name, token, due_at, wakes_at, payload_type, payload,
    origin, set_at) SELECT $1, key, 'reminder', token, $5, $5, 'remind', '{}', origin, $6
    FROM unnest($2::text[], $3::text[], $4::text[]) AS t (key, token, origin)";

pub(super) async fn fire_on_postgres(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    let app = app(&own.url).await?;
    set_due(&app, place.size).await?;
    settle_timers(&own).await?;
    let client = connect(&own.url).await?;
    let (due, delete) = (client.prepare(DUE).await?, client.prepare(DELETE_MANY).await?);
    let insert = client.prepare(INSERT_EVENTS).await?;
    let began = Instant::now();
    loop {
        let rows = client.query(&due, &[&format_timestamp(now()), &BATCH]).await?;
        if rows.is_empty() {
            break;
        }
        fire(&client, &delete, &insert, &rows).await?;
    }
    let figures = Figures::rate(app.head().await?, began);
    check_fired(&app, 0).await?;
    Ok(figures)
}

async fn fire(client: &Client, delete: &Statement, insert: &Statement, rows: &[Row]) -> Result<(), Failed> {
    let texts = |at: usize| -> Vec<&str> { rows.iter().map(|row| row.get(at)).collect() };
    let (handlers, keys, names, tokens) = (texts(0), texts(1), texts(2), texts(3));
    let ids: Vec<&str> = keys.iter().map(|key| aggregate_id(key)).collect();
    let events: Vec<Uuid> = rows.iter().map(|_| Uuid::now_v7()).collect();
    let metadata: Vec<Json> = events.iter().map(|id| Json(metadata(*id))).collect();
    let (at, count) = (SystemTime::now(), i64::try_from(rows.len())?);
    let ((), deleted, _, ()) = futures_util::future::try_join4(
        client.batch_execute("BEGIN"),
        client.execute(delete, &[&handlers, &keys, &names, &tokens]),
        client.execute(insert, &[&ids, &events, &metadata, &at, &count]),
        client.batch_execute("COMMIT"),
    )
    .await?;
    match deleted == rows.len() as u64 {
        true => Ok(()),
        false => Err("a timer was not there any more".into()),
    }
}

pub(super) async fn schedule_on_postgres(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    let app = app(&own.url).await?;
    let client = connect(&own.url).await?;
    let set = client.prepare(SET_MANY).await?;
    let (began, mut times) = (Instant::now(), Times::new());
    for first in (0..place.size).step_by(usize::try_from(SET_TOGETHER)?) {
        let began = Instant::now();
        let numbers = first..place.size.min(first + SET_TOGETHER);
        let keys: Vec<String> = numbers.map(|number| format!("reminder/r-{number}")).collect();
        let tokens: Vec<String> = keys.iter().map(|_| Uuid::now_v7().to_string()).collect();
        let origins: Vec<String> = keys.iter().map(|_| origin()).collect();
        let (now, due) = (format_timestamp(now()), format_timestamp(now() + FAR));
        client.execute(&set, &[&HANDLER, &keys, &tokens, &origins, &due, &now]).await?;
        times.record(began.elapsed());
    }
    let figures = Figures::rate(place.size, began).with_latency(&times);
    check_fired(&app, place.size).await?;
    Ok(figures)
}

const DELETE_ONE: &str =
    "DELETE FROM fs_timers WHERE handler = ?1 AND timer_key = ?2 AND name = ?3 AND token = ?4";
const INSERT_EVENT: &str = "INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type,
    schema_version, event_data, metadata, timestamp) VALUES (?1, 'reminder', ?2, 1, ?3, 'Reminded', 1, '{}', ?4, ?5)";
const SET_ONE: &str =
    "INSERT INTO fs_timers (handler, timer_key, name, token, due_at, wakes_at, payload_type, payload,
    origin, set_at) VALUES (?1, ?2, 'reminder', ?3, ?4, ?4, 'remind', '{}', ?5, ?6)";

/// A timer that is due: handler, key, name and token.
type Due = [String; 4];

pub(super) async fn fire_on_sqlite(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    let app = app(&own.url).await?;
    set_due(&app, place.size).await?;
    settle_timers(&own).await?;
    let connection = open(own.file()?)?;
    let (began, mut head) = (Instant::now(), 0_i64);
    loop {
        let due = due(&connection)?;
        if due.is_empty() {
            break;
        }
        let prepare = |sql| connection.prepare_cached(sql);
        let now = format_timestamp(now());
        prepare("BEGIN IMMEDIATE")?.execute([])?;
        let (mut delete, mut insert) = (prepare(DELETE_ONE)?, prepare(INSERT_EVENT)?);
        for timer in &due {
            head += 1;
            if delete.execute(rusqlite::params_from_iter(timer))? == 0 {
                return Err("a timer was not there any more".into());
            }
            let id = Uuid::now_v7();
            insert.execute(params![head, aggregate_id(&timer[1]), id.to_string(), metadata(id), now])?;
        }
        prepare("COMMIT")?.execute([])?;
    }
    let figures = Figures::rate(head.cast_unsigned(), began);
    check_fired(&app, 0).await?;
    Ok(figures)
}

fn due(connection: &rusqlite::Connection) -> Result<Vec<Due>, Failed> {
    let mut due = connection.prepare_cached(DUE)?;
    let rows = due.query_map(params![format_timestamp(now()), BATCH], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) async fn schedule_on_sqlite(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    let app = app(&own.url).await?;
    let connection = open(own.file()?)?;
    let (began, mut times) = (Instant::now(), Times::new());
    for first in (0..place.size).step_by(usize::try_from(SET_TOGETHER)?) {
        let began = Instant::now();
        let (now, due) = (format_timestamp(now()), format_timestamp(now() + FAR));
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut set = connection.prepare_cached(SET_ONE)?;
        for number in first..place.size.min(first + SET_TOGETHER) {
            let (key, token) = (format!("reminder/r-{number}"), Uuid::now_v7().to_string());
            set.execute(params![HANDLER, key, token, due, origin(), now])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        times.record(began.elapsed());
    }
    let figures = Figures::rate(place.size, began).with_latency(&times);
    check_fired(&app, place.size).await?;
    Ok(figures)
}
