//! K2 by hand: a transaction for each batch with the inbox and the rows by UNNEST, and one statement for each message.

use super::consumer::{TABLE, TOPIC, check, group};
use super::support::consumer_config;
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use crate::postgres::connect;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

const BATCH: usize = 500;
/// How long the next message of a batch may take; the first has a second.
const FILL_WAIT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of what is read by one commit a message, this part is enough to know the rate.
const PART_OF_ONE_BY_ONE: u64 = 10;
/// After so many messages, progress is committed where each is a commit of its own.
const COMMIT_OFFSETS_EVERY: u64 = 100;

const INBOX: &str = "CREATE TABLE inbox (consumer TEXT NOT NULL, event_id UUID NOT NULL,
    handled_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (consumer, event_id))";
const MARK: &str = "INSERT INTO inbox (consumer, event_id) SELECT $1, id FROM unnest($2::uuid[]) AS id
    ON CONFLICT DO NOTHING RETURNING event_id";
const UPSERT: &str = "INSERT INTO placed_orders (order_id, customer_id, total_cents)
    SELECT * FROM unnest($1::text[], $2::text[], $3::int8[])
    ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id, total_cents = excluded.total_cents";
const ONE: &str = "WITH fresh AS (INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1)
    INSERT INTO placed_orders (order_id, customer_id, total_cents) SELECT $3, $4, $5 FROM fresh
    ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id, total_cents = excluded.total_cents";

/// What is read of a message.
struct Placed {
    event_id: Uuid,
    order_id: String,
    value: Value,
}

#[derive(Deserialize)]
struct Value {
    customer_id: String,
    total_cents: i64,
}

impl Placed {
    fn of(message: &BorrowedMessage<'_>) -> Result<Self, Failed> {
        let headers = message.headers().ok_or("a message has headers")?;
        let id = headers.iter().find(|header| header.key == "event_id").and_then(|header| header.value);
        Ok(Self {
            event_id: std::str::from_utf8(id.ok_or("a message has an id")?)?.parse()?,
            order_id: std::str::from_utf8(message.key().ok_or("a message has a key")?)?.to_owned(),
            value: serde_json::from_slice(message.payload().ok_or("a message has a value")?)?,
        })
    }
}

/// A member of a new group, and where it has come to.
struct Reader {
    consumer: BaseConsumer,
    group: String,
    next: HashMap<i32, i64>,
    began: Option<Instant>,
}

impl Reader {
    fn join(place: &Place) -> Result<Self, Failed> {
        let group = group();
        let consumer: BaseConsumer = consumer_config(&place.kafka, &group).create()?;
        consumer.subscribe(&[TOPIC])?;
        Ok(Self { consumer, group, next: HashMap::new(), began: None })
    }

    /// The next orders: as many as asked for, or fewer when no more come.
    fn read(&mut self, max: usize) -> Result<Vec<Placed>, Failed> {
        let mut orders = Vec::with_capacity(max);
        let deadline = Instant::now() + PATIENCE;
        while orders.len() < max {
            let wait = if orders.is_empty() { Duration::from_secs(1) } else { FILL_WAIT };
            match self.consumer.poll(wait) {
                Some(message) => {
                    let message = message?;
                    self.began.get_or_insert_with(Instant::now);
                    self.next.insert(message.partition(), message.offset() + 1);
                    orders.push(Placed::of(&message)?);
                }
                None if !orders.is_empty() => break,
                None if Instant::now() > deadline => return Err("no messages come".into()),
                None => {}
            }
        }
        Ok(orders)
    }

    /// The inbox knows what is handled, so that nobody has to wait for this.
    fn commit(&mut self) -> Result<(), Failed> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in self.next.drain() {
            list.add_partition_offset(TOPIC, partition, Offset::Offset(offset))?;
        }
        Ok(self.consumer.commit(&list, CommitMode::Async)?)
    }

    fn figures(&self, messages: u64) -> Result<Figures, Failed> {
        Ok(Figures::rate(messages, self.began.ok_or("nothing was read")?))
    }
}

/// A connection to the database with the tables that every hand-written consumer has.
pub(super) async fn open(place: &Place) -> Result<Client, Failed> {
    let client = connect(&place.database).await?;
    client.batch_execute(TABLE).await?;
    client.batch_execute(INBOX).await?;
    Ok(client)
}

pub(crate) async fn batches(place: Place) -> Result<Figures, Failed> {
    let client = open(&place).await?;
    let (mark, upsert) = (client.prepare(MARK).await?, client.prepare(UPSERT).await?);
    let mut reader = Reader::join(&place)?;
    let mut done = 0;
    while done < place.size {
        let orders = reader.read(BATCH)?;
        done += orders.len() as u64;
        handle(&client, [&mark, &upsert], &reader.group, orders).await?;
        reader.commit()?;
    }
    let figures = reader.figures(done)?;
    check(&place.database, place.size, "inbox").await?;
    Ok(figures)
}

/// One transaction, in two exchanges with the server.
async fn handle(
    client: &Client,
    [mark, upsert]: [&Statement; 2],
    group: &str,
    mut orders: Vec<Placed>,
) -> Result<(), Failed> {
    let event_ids: Vec<Uuid> = orders.iter().map(|order| order.event_id).collect();
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&group, &event_ids];
    let ((), fresh) =
        futures_util::future::try_join(client.batch_execute("BEGIN"), client.query(mark, &params)).await?;
    if fresh.len() < orders.len() {
        let fresh: HashSet<Uuid> = fresh.iter().map(|row| row.get(0)).collect();
        orders.retain(|order| fresh.contains(&order.event_id));
    }
    let (mut ids, mut customers, mut totals) = (Vec::new(), Vec::new(), Vec::new());
    for Placed { order_id, value, .. } in orders {
        ids.push(order_id);
        customers.push(value.customer_id);
        totals.push(value.total_cents);
    }
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&ids, &customers, &totals];
    let written = client.execute(upsert, &params);
    futures_util::future::try_join(written, client.batch_execute("COMMIT")).await?;
    Ok(())
}

pub(crate) async fn one_by_one(place: Place) -> Result<Figures, Failed> {
    let client = open(&place).await?;
    let one = client.prepare(ONE).await?;
    let mut reader = Reader::join(&place)?;
    let part = place.size / PART_OF_ONE_BY_ONE;
    let mut done = 0;
    while done < part {
        for Placed { event_id, order_id, value } in reader.read(1)? {
            let Value { customer_id, total_cents } = value;
            client.execute(&one, &[&reader.group, &event_id, &order_id, &customer_id, &total_cents]).await?;
            done += 1;
        }
        if done % COMMIT_OFFSETS_EVERY == 0 {
            reader.commit()?;
        }
    }
    let figures = reader.figures(done)?;
    let rows = client.query_one("SELECT count(*) FROM placed_orders", &[]).await?.get::<_, i64>(0);
    match rows == done.cast_signed() {
        true => Ok(figures),
        false => Err(format!("{rows} rows; {done} were to be").into()),
    }
}
