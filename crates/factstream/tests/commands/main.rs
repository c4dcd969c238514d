//! Commands on a real SQLite file: G2 and G4 as a caller meets them, and who caused what.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/shifted.rs"]
mod shifted;
mod busy;
mod context;
mod inside;
mod missing;
mod transactions;
mod versions;
mod read_back;
mod running;
mod scheduled;
mod recurring;
mod bulk;
mod outcome;
mod renamed;

use common::{Do, Order, OrderEvent, Refused, Shop};
use factstream::{Aggregate, App, Command, Error, Event, ExecuteError, SnapshotPolicy, params};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

fn refused(result: Result<factstream::Executed<OrderEvent>, ExecuteError<Refused>>) -> &'static str {
    match result {
        Err(ExecuteError::Rejected(Refused(words))) => words,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_command_is_decided_on_the_events_before_it() {
    let shop = Shop::new();
    let app = shop.open().await;
    let done = app.execute("o-1", Do::Create(5)).await.unwrap();
    assert_eq!((done.aggregate_id.as_str(), done.version, done.position), ("o-1", 1, 1));
    assert_eq!(refused(app.execute("o-1", Do::Create(5)).await), "Order already created");
    let (order, version) = app.load::<Order>("o-1").await.unwrap();
    assert!(order.created && version == 1);
}

/// Counts how often its events are applied, in this process.
#[derive(Default, Clone)]
struct Counted(u64);

static APPLIED: AtomicU64 = AtomicU64::new(0);

impl Aggregate for Counted {
    const TYPE: &'static str = "counted";
    type Event = OrderEvent;

    fn apply(&mut self, _: &OrderEvent) {
        self.0 += 1;
        APPLIED.fetch_add(1, Ordering::Relaxed);
    }
}

struct Count;

impl Command<Counted> for Count {
    type Error = Refused;

    fn decide(&self, _: &Counted) -> Result<Vec<OrderEvent>, Refused> {
        Ok(vec![OrderEvent::Closed])
    }
}

#[tokio::test]
async fn after_a_conflict_only_what_is_new_is_read() {
    let shop = Shop::new();
    let (one, other) = (shop.open().await, shop.open().await);
    for _ in 0..500 {
        one.execute("c-1", Count).await.unwrap();
    }
    other.execute("c-1", Count).await.unwrap();
    APPLIED.store(0, Ordering::Relaxed);
    assert_eq!(one.execute("c-1", Count).await.unwrap().version, 502);
    assert!(APPLIED.load(Ordering::Relaxed) < 10, "the whole stream was read again after a conflict");

    let (state, version) = one.load::<Counted>("c-1").await.unwrap();
    assert_eq!((state.0, version), (502, 502));
}

#[tokio::test]
async fn a_refusal_is_believed_only_after_the_stream_was_looked_at() {
    let shop = Shop::new();
    let (one, other) = (shop.open().await, shop.open().await);
    one.execute("o-1", Do::Create(1)).await.unwrap();
    other.execute("o-1", Do::Note("a".into())).await.unwrap();
    // `one` still has version 1 in memory and knows nothing of the note and the closing.
    other.execute("o-1", Do::Close).await.unwrap();
    assert_eq!(refused(one.execute("o-1", Do::Note("b".into())).await), "Order is closed");
    assert_eq!(one.execute("o-1", Do::Nothing).await.unwrap().version, 3);
}

#[tokio::test]
async fn a_key_takes_effect_once_and_a_repeat_gives_the_first_outcome() {
    let shop = Shop::new();
    let app = shop.open().await;
    let first = app.execute("o-1", Do::Create(1)).key("k-1").await.unwrap();
    // The aggregate would refuse it now; the key says that it happened.
    let again = app.execute("o-1", Do::Create(1)).key("k-1").await.unwrap();
    assert_eq!((again.version, again.position, again.repeated), (first.version, first.position, true));
    assert_eq!(app.head().await.unwrap(), 1);
    // Also after a restart, and for a command that changed nothing.
    drop(app);
    let app = shop.open().await;
    app.execute("o-1", Do::Nothing).key("k-2").await.unwrap();
    assert!(app.execute("o-1", Do::Nothing).key("k-2").await.unwrap().repeated);
}

#[tokio::test]
async fn a_key_that_stands_for_something_else_is_refused() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).key("k-1").await.unwrap();
    app.execute("o-1", Do::Note("a".into())).key_for("k-2", "body a").await.unwrap();
    let reused = |result: Result<factstream::Executed<OrderEvent>, ExecuteError<Refused>>| match result {
        Err(ExecuteError::Failed(Error::KeyReused { first_used_for, .. })) => first_used_for,
        other => panic!("not refused: {other:?}"),
    };
    // Accepted by the aggregate, refused by it, and one that changes nothing.
    for other in [Do::Note("b".into()), Do::Create(2), Do::Nothing] {
        let first_used_for = reused(app.execute("o-1", other).key("k-1").await);
        assert_eq!(first_used_for, "order/Do of order/o-1, with another content");
    }
    for id in ["o-1", "o-2"] {
        reused(app.execute(id, Do::Note("a".into())).key_for("k-2", "body b").await);
    }
    assert!(app.execute("o-1", Do::Note("b".into())).key_for("k-2", "body a").await.unwrap().repeated);
    assert_eq!(app.head().await.unwrap(), 2, "nothing was stored");
}

/// Before, only the name of the command's type was stored, and what the caller said.
#[tokio::test]
async fn a_key_that_an_earlier_release_stored_still_stands_for_its_command() {
    let shop = Shop::new();
    let app = shop.open().await;
    for (key, fingerprint) in [("k-1", "order/Do"), ("k-2", "order/Do 9d2c-11")] {
        app.execute("o-1", Do::Nothing).key(key).await.unwrap();
        let mut tx = app.begin().await.unwrap();
        let sql = "UPDATE fs_command_keys SET fingerprint = $1 WHERE key = $2";
        assert_eq!(tx.sql(sql, params![fingerprint, key]).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert!(app.execute("o-1", Do::Nothing).key(key).await.unwrap().repeated);
    }
}

#[tokio::test]
async fn a_key_of_another_aggregate_is_refused_whether_the_command_is_accepted_or_not() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).key("k-1").await.unwrap();
    app.execute("o-2", Do::Create(1)).await.unwrap();
    // Not there yet, refused by its aggregate, and one that changes nothing.
    for (id, what) in [("o-3", Do::Create(1)), ("o-2", Do::Create(1)), ("o-2", Do::Nothing)] {
        let error = app.execute(id, what).key("k-1").await.unwrap_err();
        let ExecuteError::Failed(Error::KeyReused { first_used_for, .. }) = &error else { panic!("{error}") };
        assert!(first_used_for.contains("order/o-1"), "{error}");
    }
    assert_eq!(app.head().await.unwrap(), 2, "nothing was stored");
}

#[tokio::test]
async fn a_repeat_that_creates_is_told_the_first_aggregate() {
    let shop = Shop::new();
    let app = shop.open().await;
    let first = app.create(Do::Create(1)).key("k-1").await.unwrap();
    let again = app.create(Do::Create(1)).key("k-1").await.unwrap();
    assert_eq!((again.aggregate_id, again.repeated), (first.aggregate_id.clone(), true));
    let other = app.create(Do::Create(1)).key("k-2").await.unwrap();
    assert!(other.aggregate_id > first.aggregate_id, "ids are ordered by time");
    assert_eq!(app.head().await.unwrap(), 2);
}

#[tokio::test]
async fn bad_ids_and_keys_are_refused_and_nothing_is_stored() {
    let shop = Shop::new();
    let app = shop.open().await;
    for id in ["", "a\0b", "line\nbreak", &"x".repeat(256)] {
        let error = app.execute(id, Do::Create(1)).await.unwrap_err();
        assert!(matches!(error, ExecuteError::Failed(Error::InvalidId(_))), "{error}");
        let error = app.execute("o-1", Do::Create(1)).key(id).await.unwrap_err();
        assert!(matches!(error, ExecuteError::Failed(Error::InvalidId(_))), "{error}");
    }
    assert_eq!(app.head().await.unwrap(), 0);
}

#[tokio::test]
async fn every_event_says_who_recorded_it_and_what_caused_it() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).await.unwrap();
    app.execute("o-1", Do::Close).await.unwrap();
    let events = app.events::<Order>("o-1", 0, 10).await.unwrap();
    let envelopes: Vec<_> = events.iter().map(|event| event.envelope().unwrap()).collect();
    for envelope in &envelopes {
        assert_eq!(envelope.source, "shop");
        assert!(envelope.causation_id.is_some(), "the command's id");
        assert_eq!(envelope.correlation_id, envelope.causation_id, "a command begins a conversation");
    }
    assert_ne!(envelopes[0].correlation_id, envelopes[1].correlation_id);
    assert_eq!(events[0].data, r#"{"customer_id":"c-1","amount":1}"#);
}

#[tokio::test]
async fn an_aggregate_can_be_seen_as_it_was() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).await.unwrap();
    app.execute("o-1", Do::Note("a".into())).await.unwrap();
    app.execute("o-1", Do::Close).await.unwrap();
    let at = |version| app.load_at::<Order>("o-1", version);
    assert_eq!(
        at(2).await.unwrap().unwrap(),
        Order { created: true, closed: false, notes: vec!["a".into()] }
    );
    assert_eq!(at(0).await.unwrap().unwrap(), Order::default());
    assert_eq!(at(4).await.unwrap(), None);
}

#[derive(Event, Serialize, Deserialize)]
#[event(prefix = "")]
enum Tick {
    Ticked { by: u64 },
}

#[derive(Default, Clone, Serialize, Deserialize)]
struct Counter<const SHAPE: u32> {
    sum: u64,
    applied_here: u64,
}

impl<const SHAPE: u32> Aggregate for Counter<SHAPE> {
    const TYPE: &'static str = "counter";
    type Event = Tick;

    fn apply(&mut self, Tick::Ticked { by }: &Tick) {
        self.sum += by;
        self.applied_here += 1;
    }

    fn snapshots() -> Option<SnapshotPolicy<Self>> {
        Some(SnapshotPolicy::json(10, SHAPE))
    }
}

struct Add(u64);

impl<const SHAPE: u32> Command<Counter<SHAPE>> for Add {
    type Error = Refused;

    fn decide(&self, _: &Counter<SHAPE>) -> Result<Vec<Tick>, Refused> {
        Ok(vec![Tick::Ticked { by: self.0 }])
    }
}

async fn snapshot_version(app: &App) -> Option<u64> {
    let rows = app.store().query("SELECT version FROM fs_snapshots", params![]).await.unwrap();
    rows.first().map(|row| row.get("version").unwrap())
}

#[tokio::test]
async fn a_long_stream_is_loaded_from_its_snapshot_and_another_shape_drops_it() {
    let shop = Shop::new();
    let app = shop.open().await;
    for n in 0..25 {
        if n % 2 == 0 {
            app.execute::<Counter<1>, _>("c", Add(2)).await.unwrap();
        } else {
            let mut tx = app.begin().await.unwrap();
            tx.command::<Counter<1>, _>("c", Add(2)).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
    common::eventually("a snapshot is taken", || async { snapshot_version(&app).await >= Some(20) }).await;
    drop(app);

    // Damage what lies before the snapshot: loading must not need it.
    let app = shop.open().await;
    let version = snapshot_version(&app).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.sql("UPDATE events SET event_data = '{}' WHERE version <= $1", params![version]).await.unwrap();
    tx.commit().await.unwrap();
    let (counter, at) = app.load::<Counter<1>>("c").await.unwrap();
    assert_eq!((counter.sum, at), (50, 25));
    drop(app);

    // With another shape the snapshot is not used: the damaged events are met.
    let app = shop.open().await;
    let error = app.load::<Counter<2>>("c").await.map(|(counter, _)| counter.sum).unwrap_err();
    assert!(matches!(error, Error::Undecodable { .. }), "{error}");
}

#[tokio::test]
async fn a_transaction_of_ones_own_takes_effect_whole_or_not_at_all() {
    let shop = Shop::new();
    let app = shop.open().await;
    let mut tx = app.begin().await.unwrap();
    tx.sql("CREATE TABLE mine (id TEXT PRIMARY KEY)", params![]).await.unwrap();
    tx.sql("INSERT INTO mine (id) VALUES ($1)", params!["a"]).await.unwrap();
    tx.command("o-1", Do::Create(1)).await.unwrap();
    tx.command("o-1", Do::Close).await.unwrap();
    tx.append::<Order>("o-2", &[OrderEvent::Noted { text: "fact".into() }]).await.unwrap();
    assert_eq!(tx.load::<Order>("o-1").await.unwrap().1, 2, "a later read sees what was appended");
    let refusal = tx.command("o-1", Do::Close).await.unwrap_err();
    assert!(matches!(refusal, ExecuteError::Rejected(Refused("Order is closed"))));
    assert_eq!(app.head().await.unwrap(), 0, "nothing is visible before the commit");
    let appended = tx.commit().await.unwrap();
    assert_eq!(appended.last().unwrap().position, 3);

    let mut tx = app.begin().await.unwrap();
    tx.sql("INSERT INTO mine (id) VALUES ($1)", params!["b"]).await.unwrap();
    tx.command("o-3", Do::Create(1)).await.unwrap();
    drop(tx);
    assert_eq!(app.store().query("SELECT id FROM mine", params![]).await.unwrap().len(), 1);
    assert_eq!(app.head().await.unwrap(), 3);
    let (order, _) = app.load::<Order>("o-3").await.unwrap();
    assert!(!order.created);
}
