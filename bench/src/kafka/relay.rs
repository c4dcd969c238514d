//! K1: a log of two events an order into Kafka. Raw has the messages in memory when its clock starts; the relay reads them from
//! the log, makes the messages, and keeps its checkpoint.

use super::log;
use super::support::{bulk_producer, count_messages, produce_all, topic_anew};
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use crate::postgres::connect;
use factstream::message::Message;
use std::time::{Duration, Instant};

const TOPIC: &str = "orders.events";
const PAGE_EVENTS: usize = 10_000;
const LOOK: Duration = Duration::from_millis(5);
const STOP_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let began = Instant::now();
    topic_anew(&place.kafka, TOPIC).await?;
    log::fill(&place.shared, &place.kafka, place.size).await?;
    Ok(Figures::rate(place.size * 2, began))
}

pub(crate) async fn raw(place: Place) -> Result<Figures, Failed> {
    topic_anew(&place.kafka, TOPIC).await?;
    let messages = messages(&place).await?;
    let producer = bulk_producer(&place.kafka)?;
    let began = Instant::now();
    produce_all(&producer, TOPIC, &messages)?;
    let figures = Figures::rate(messages.len() as u64, began);
    check(&place)?;
    Ok(figures)
}

async fn messages(place: &Place) -> Result<Vec<Message>, Failed> {
    let app = log::app(&place.shared, &place.kafka).await?;
    let mut messages = Vec::with_capacity(place.size as usize * 2);
    let mut position = 0;
    loop {
        let events = app.read_log(position, PAGE_EVENTS).await?;
        let Some(last) = events.last() else { return Ok(messages) };
        position = last.position;
        for event in &events {
            messages.extend(Message::of(event)?);
        }
    }
}

pub(crate) async fn relay(place: Place) -> Result<Figures, Failed> {
    topic_anew(&place.kafka, TOPIC).await?;
    let app = log::app(&place.shared, &place.kafka).await?;
    let client = connect(&place.shared).await?;
    let reset = "UPDATE fs_checkpoints SET position = 0 WHERE handler = 'relay'";
    client.execute(reset, &[]).await?;
    let checkpoint = client.prepare("SELECT position FROM fs_checkpoints WHERE handler = 'relay'").await?;
    let head = (place.size * 2).cast_signed();
    let began = Instant::now();
    let running = app.start().await?;
    while client.query_opt(&checkpoint, &[]).await?.is_none_or(|row| row.get::<_, i64>(0) < head) {
        if began.elapsed() > PATIENCE {
            return Err("the relay does not get there".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let figures = Figures::rate(place.size * 2, began);
    running.stop(STOP_WITHIN).await;
    check(&place)?;
    Ok(figures)
}

fn check(place: &Place) -> Result<(), Failed> {
    match count_messages(&place.kafka, TOPIC)? {
        count if count == place.size * 2 => Ok(()),
        count => Err(format!("{count} messages; {} were to be", place.size * 2).into()),
    }
}
