//! K4: an event that waits for its cause, from when the cause's row is there until its own is.
//!
//! Each effect is produced first, and its cause when it waits. A watcher looks for both rows every millisecond.

use super::consumer::group;
use super::support::{bulk_producer, produce_all, topic_anew};
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use crate::postgres::connect;
use factstream::causes::Causes;
use factstream::message::Message;
use factstream::{
    App, Causal, Consumer, Envelope, Event, EventSet, Failure, Handler, RecordedEvent, Running, Tx, params,
    sql,
};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use uuid::Uuid;

const CAUSES: &str = "bench.k4.causes";
const EFFECTS: &str = "bench.k4.effects";
const TABLE: &str = "CREATE TABLE seen (event_id TEXT PRIMARY KEY)";
const LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Event, Serialize, Deserialize)]
#[event(topic = "bench.k4.causes")]
enum Cause {
    #[event(name = "Caused", version = 1)]
    Caused {},
}

#[derive(Event, Serialize, Deserialize)]
#[event(topic = "bench.k4.effects")]
enum Effect {
    #[event(name = "Followed", version = 1)]
    Followed {},
}

/// Writes the row of each event.
struct Seeing<E>(PhantomData<fn() -> E>);

impl<E: EventSet + Sync> Handler for Seeing<E> {
    type Events = E;

    async fn handle(&self, event: &Envelope<E>, tx: &mut Tx) -> Result<(), Failure> {
        tx.sql("INSERT INTO seen (event_id) VALUES ($1)", params![&event.event_id]).await?;
        Ok(())
    }
}

async fn member(place: &Place, group: &str) -> Result<Running, Failed> {
    let consumer = Consumer::new(group)
        .handler(Seeing::<Cause>(PhantomData))
        .handler(Seeing::<Effect>(PhantomData))
        .causal(Causal::wait(PATIENCE));
    let app = App::builder(&place.database).broker(&place.kafka).consumer(consumer).open().await?;
    Ok(app.start().await?)
}

/// As many effects as the contest's size, one after the other, in a group of so many members.
pub(crate) async fn release(place: Place, members: usize) -> Result<Figures, Failed> {
    for topic in [CAUSES, EFFECTS] {
        topic_anew(&place.kafka, topic).await?;
    }
    let client = connect(&place.database).await?;
    client.batch_execute(TABLE).await?;
    let (group, mut running) = (group(), Vec::new());
    for _ in 0..members {
        running.push(member(&place, &group).await?);
    }
    let mut times = Times::new();
    for number in 0..place.size {
        let (cause, effect) = (Uuid::now_v7(), Uuid::now_v7());
        let mut message = message("Followed", EFFECTS, effect)?;
        let causes = Causes::default().and(&cause.to_string(), "Caused", CAUSES);
        message.headers.push("causes", causes.as_str());
        produce_all(&bulk_producer(&place.kafka)?, EFFECTS, &[message])?;
        let waiting = "SELECT 1 FROM fs_blocked_keys WHERE waits_for = $1";
        when(&client, waiting, &cause).await.map_err(|error| format!("effect {number}: {error}"))?;
        produce_all(&bulk_producer(&place.kafka)?, CAUSES, &[self::message("Caused", CAUSES, cause)?])?;
        let is_there = "SELECT 1 FROM seen WHERE event_id = $1";
        let caused = when(&client, is_there, &cause).await?;
        let followed = when(&client, is_there, &effect).await?;
        times.record(followed - caused);
    }
    for running in running {
        running.stop(STOP_WITHIN).await;
    }
    let rows: i64 = client.query_one("SELECT count(*) FROM seen", &[]).await?.get(0);
    match rows == (place.size * 2).cast_signed() {
        true => Ok(Figures::times(&times)),
        false => Err(format!("{rows} events were handled").into()),
    }
}

/// When the query has a row.
async fn when(client: &Client, query: &str, id: &Uuid) -> Result<Instant, Failed> {
    let (query, id) = (client.prepare(query).await?, id.to_string());
    let began = Instant::now();
    while client.query_opt(&query, &[&id]).await?.is_none() {
        if began.elapsed() > PATIENCE {
            return Err("an event is not handled".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Instant::now())
}

/// The message of an event with a key of its own.
fn message(event_type: &str, topic: &str, event_id: Uuid) -> Result<Message, Failed> {
    let event = RecordedEvent {
        position: 1,
        aggregate_type: "bench".to_owned(),
        aggregate_id: event_id.to_string(),
        version: 1,
        event_id,
        event_type: event_type.to_owned(),
        schema_version: 1,
        data: "{}".to_owned(),
        metadata: format!(
            r#"{{"source":"bench","correlation_id":"{event_id}","causation_id":"{event_id}","topic":"{topic}"}}"#
        ),
        timestamp: sql::now(),
    };
    Message::of(&event)?.ok_or_else(|| "the event is public".into())
}
