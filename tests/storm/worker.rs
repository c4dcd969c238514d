//! The harness's own users of factstream, a process like any service: `storm worker`. What its handlers do shows when it is
//! done twice, left out or out of order, and some of what they are given does them harm.
//!
//! - the consumer `witness` writes one row for each event of each topic: a plain INSERT, which nothing makes idempotent;
//! - the consumer `fragile` does the same for the topic of orders, and is harmed by some ([`Harm`]);
//! - the consumer `partner` does the same for a topic of other teams (`partner.rs`);
//! - the projection `tally` counts the events of each order, and those that came out of order. It is rebuilt again and again while
//!   its log grows, so it takes no more than these.

use crate::partner::{self, PARTNER};
use clap::Args;
use factstream::event::EventSet;
use factstream::{
    App, Builder, Consumer, Envelope, Event, Failure, Handler, Projection, Projector, ResetTo, Retry, Rows,
    Tx, UnknownTypes, params,
};
use factstream_core::broker::Topic;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The consumer that only writes down.
pub(crate) const WITNESS: &str = "witness";
/// The consumer that some events harm.
pub(crate) const FRAGILE: &str = "fragile";
/// The projection that counts.
pub(crate) const TALLY: &str = "tally";
/// Longer than `max.poll.interval.ms` of the workers, shorter than their time limit.
const SLOW: Duration = Duration::from_secs(8);
const BROKER_SETTINGS: &str = "max.poll.interval.ms=6000&session.timeout.ms=6000";

/// Run a worker of the harness
#[derive(Args)]
pub(crate) struct Worker {
    #[arg(long)]
    store: String,
    #[arg(long)]
    broker: String,
    /// Where it remembers what harmed it once
    #[arg(long)]
    once: PathBuf,
    /// Nothing harms it any more; dead letters are redriven first
    #[arg(long)]
    healed: bool,
    /// Sets this consumer to the beginning of its topics, and ends
    #[arg(long)]
    reset: Option<String>,
    /// Which release of the handlers it is
    #[arg(long, default_value_t = 1)]
    release: u32,
}

/// What a release declares differently.
struct Release {
    tally_version: u32,
    tally_column: &'static str,
    tally_shards: u32,
    witness_lanes: usize,
    fragile_lanes: usize,
}

impl Release {
    fn of(release: u32) -> Self {
        let (tally_version, tally_column, tally_shards) = match release {
            1 => (1, "", 1),
            2 => (1, ", release BIGINT NOT NULL DEFAULT 2", 2),
            _ => (3, "", 3),
        };
        let (witness_lanes, fragile_lanes) = if release == 2 { (4, 1) } else { (1, release as usize) };
        Self { tally_version, tally_column, tally_shards, witness_lanes, fragile_lanes }
    }
}

/// What the events of an order do to `fragile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    None,
    /// The order's creation fails for good.
    Poison,
    /// The order's creation panics, each time.
    Panic,
    /// The first attempt aborts the process.
    AbortOnce,
    /// The first attempt takes longer than the group allows between two polls.
    SlowOnce,
}

impl Harm {
    /// The same for an order whoever asks.
    pub(crate) fn of(order: &str) -> Self {
        // FNV-1a, 64 bits (Fowler, Noll, Vo).
        let hash = order.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        match (hash >> 16) % 3_000 {
            0..30 => Self::Poison,
            30..60 => Self::Panic,
            60..63 => Self::AbortOnce,
            63 => Self::SlowOnce,
            _ => Self::None,
        }
    }

    /// Whether it makes a dead letter of the order's creation.
    pub(crate) fn is_deadly(self) -> bool {
        matches!(self, Self::Poison | Self::Panic)
    }
}

#[derive(Debug, Clone, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
enum OrderFact {
    #[event(name = "OrderCreated", version = 1)]
    Created {},
    #[event(name = "OrderShipped", version = 1)]
    Shipped {},
    #[event(name = "OrderCancelled", version = 1)]
    Cancelled {},
}

#[derive(Debug, Clone, Event, Serialize, Deserialize)]
#[event(topic = "payments.events")]
enum PaymentFact {
    #[event(name = "PaymentProcessed", version = 1)]
    Processed {},
    #[event(name = "PaymentRefundRequested", version = 1)]
    RefundRequested {},
    #[event(name = "PaymentRefunded", version = 1)]
    Refunded {},
}

#[derive(Debug, Clone, Event, Serialize, Deserialize)]
#[event(topic = "partners.events")]
enum PartnerFact {
    #[event(name = "PartnerNoted", version = 1)]
    Noted { token: String },
}

#[derive(Debug, Clone, Event, Serialize, Deserialize)]
#[event(topic = "inventory.events")]
enum StockFact {
    #[event(name = "InventoryUpdated", version = 1)]
    Updated {},
}

/// Writes down what it is given.
struct Witness<E>(std::marker::PhantomData<E>);

impl<E: EventSet> Handler for Witness<E> {
    type Events = E;

    async fn handle(&self, event: &Envelope<E>, tx: &mut Tx) -> Result<(), Failure> {
        write_down(WITNESS, event, tx).await
    }
}

fn witness<E: EventSet>() -> Witness<E> {
    Witness(std::marker::PhantomData)
}

async fn write_down<E>(handler: &str, event: &Envelope<E>, tx: &mut Tx) -> Result<(), Failure> {
    let sql = "INSERT INTO storm_effects (handler, event_key, event_type, event_id) VALUES ($1, $2, $3, $4)";
    tx.sql(sql, params![handler, &event.aggregate_id, &event.event_type, &event.event_id]).await?;
    Ok(())
}

/// Writes down, too, unless it is harmed.
struct Fragile {
    once: PathBuf,
    healed: bool,
}

impl Handler for Fragile {
    type Events = OrderFact;

    async fn handle(&self, event: &Envelope<OrderFact>, tx: &mut Tx) -> Result<(), Failure> {
        let is_first = matches!(event.event, OrderFact::Created {});
        match Harm::of(&event.aggregate_id) {
            Harm::Poison if is_first && !self.healed => return Err(Failure::permanent("poison")),
            Harm::Panic if is_first && !self.healed => panic!("this order makes the handler panic"),
            Harm::AbortOnce if self.is_new(&event.aggregate_id) => std::process::abort(),
            Harm::SlowOnce if self.is_new(&event.aggregate_id) => tokio::time::sleep(SLOW).await,
            _ => {}
        }
        write_down(FRAGILE, event, tx).await
    }
}

impl Fragile {
    fn is_new(&self, order: &str) -> bool {
        File::create_new(self.once.join(order)).is_ok()
    }
}

/// Writes down what other teams have published, by its token.
struct Partner;

impl Handler for Partner {
    type Events = PartnerFact;

    async fn handle(&self, event: &Envelope<PartnerFact>, tx: &mut Tx) -> Result<(), Failure> {
        let PartnerFact::Noted { token } = &event.event;
        let sql =
            "INSERT INTO storm_effects (handler, event_key, event_type, event_id) VALUES ($1, $2, $3, $4)";
        tx.sql(sql, params![PARTNER, &event.aggregate_id, &event.event_type, token]).await?;
        Ok(())
    }
}

/// Counts: `INSERT .. ON CONFLICT` that is wrong as soon as an event is handled twice or left out.
struct Tally;

impl Projector for Tally {
    type Events = OrderFact;

    async fn project(&self, event: &Envelope<OrderFact>, tx: &mut Rows) -> Result<(), Failure> {
        let table = tx.table("storm_tally");
        let sql = format!(
            "INSERT INTO {table} (aggregate_id, events, last_position, disorder) VALUES ($1, 1, $2, 0) \
             ON CONFLICT (aggregate_id) DO UPDATE SET events = {table}.events + 1, last_position = excluded.last_position, \
             disorder = {table}.disorder + CASE WHEN excluded.last_position <= {table}.last_position THEN 1 ELSE 0 END"
        );
        tx.sql(&sql, params![&event.aggregate_id, event.position]).await?;
        Ok(())
    }
}

/// Works until SIGTERM.
pub(crate) async fn run(worker: Worker) -> Result<(), Box<dyn std::error::Error>> {
    let Worker { store, broker, once, healed, reset, release } = worker;
    let mut stopped = signal(SignalKind::terminate())?;
    let builder = builder(&store, &broker, &once, healed, Release::of(release));
    if let Some(consumer) = reset {
        let app = builder.inspect().await?;
        let plan = app.plan_reset(&consumer, ResetTo::Beginning).await?;
        return Ok(app.reset(&plan, false).await?);
    }
    let app = builder.open().await?;
    if healed {
        for handler in [FRAGILE, PARTNER] {
            app.dead_letters().redrive_all(Some(handler)).await?;
        }
    }
    let running = app.start().await?;
    let mut out = std::io::stdout();
    writeln!(out, "a worker is ready: http://127.0.0.1:0")?;
    out.flush()?;
    stopped.recv().await;
    match running.stop(Duration::from_secs(10)).await {
        true => Ok(()),
        false => Err("the handlers did not end in time".into()),
    }
}

fn builder(store: &str, broker: &str, once: &Path, healed: bool, release: Release) -> Builder {
    let settings = if broker.contains('?') { '&' } else { '?' };
    let broker = match broker.starts_with("kafka://") {
        true => format!("{broker}{settings}{BROKER_SETTINGS}"),
        false => broker.to_owned(),
    };
    let quick =
        Retry { max_attempts: 5, initial: Duration::from_millis(20), max_delay: SLOW, ..Retry::default() };
    let everything = Consumer::new(WITNESS)
        .handler(witness::<OrderFact>())
        .handler(witness::<PaymentFact>())
        .handler(witness::<StockFact>())
        .concurrency(release.witness_lanes);
    let fragile = Consumer::new(FRAGILE)
        .handler(Fragile { once: once.to_owned(), healed })
        .unknown_types(UnknownTypes::Skip)
        .time_limit(3 * SLOW)
        .retry(quick)
        .concurrency(release.fragile_lanes);
    let mut partner = Consumer::new(PARTNER).handler(Partner).retry(quick).concurrency(release.fragile_lanes);
    if healed {
        partner = partner.decode_with(partner::cure);
    }
    let columns = format!(
        "CREATE TABLE {{table}} (aggregate_id TEXT PRIMARY KEY, events BIGINT NOT NULL, \
         last_position BIGINT NOT NULL, disorder BIGINT NOT NULL{})",
        release.tally_column
    );
    let tally = Projection::new(TALLY, Tally)
        .version(release.tally_version)
        .shards(release.tally_shards)
        .table("storm_tally", &columns, &[]);
    App::builder(store)
        .broker(broker)
        .service("storm")
        .consumer(everything)
        .consumer(fragile)
        .consumer(partner)
        .topic(Topic::new(partner::TOPIC, partner::PARTITIONS))
        .projection(tally)
}
