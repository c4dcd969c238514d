//! Rebuilds beside projections that handle several keys in parallel (G10): no event is lost in the switch, none counts twice.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Do, Order, OrderEvent, Shop, quick, settled, stop};
use factstream::{App, Envelope, Failure, Projection, Projector, Rows, params};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The key whose events wait at a closed gate.
const GATED: &str = "gated";
/// The key whose events each fail at the first attempt.
const FLAKY: &str = "o-3";

/// Holds up the events of one key before they touch a table, while it is closed.
#[derive(Clone)]
struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    fn closed() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    fn open() -> Self {
        Self(Arc::new(watch::channel(true).0))
    }
}

/// Writes one row for each event.
struct Applied {
    gate: Gate,
    failed: Mutex<HashSet<String>>,
}

impl Projector for Applied {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, tx: &mut Rows) -> Result<(), Failure> {
        if event.aggregate_id == GATED {
            self.gate.0.subscribe().wait_for(|open| *open).await?;
        }
        if event.aggregate_id == FLAKY && self.failed.lock().unwrap().insert(event.event_id.clone()) {
            return Err(Failure::transient("told to fail once"));
        }
        let sql = format!("INSERT INTO {} (order_id, version) VALUES ($1, $2)", tx.table("applied"));
        tx.sql(&sql, params![&event.aggregate_id, event.version]).await?;
        Ok(())
    }
}

async fn open(url: &str, lanes: usize, gate: Gate) -> App {
    let create = "CREATE TABLE {table} (order_id TEXT NOT NULL, version BIGINT NOT NULL)";
    let index = "CREATE INDEX {table}_orders ON {table} (order_id)";
    let handler = Applied { gate, failed: Mutex::default() };
    let projection = Projection::new("applied", handler).table("applied", create, &[index]);
    let projection = projection.concurrency(lanes).retry(quick(5));
    App::builder(url).service("shop").aggregate::<Order>().projection(projection).open().await.unwrap()
}

/// One note for each of these orders, in one transaction.
async fn note_all(app: &App, orders: &[&str]) {
    let mut tx = app.begin().await.unwrap();
    for order in orders {
        tx.append::<Order>(order, &[OrderEvent::Noted { text: "hello".into() }]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn assert_each_event_is_applied_once(app: &App) {
    settled(app).await;
    let sql = "SELECT order_id, version FROM applied ORDER BY order_id, version";
    let rows = app.store().query(sql, params![]).await.unwrap();
    let found: Vec<(String, u64)> =
        rows.iter().map(|row| (row.get("order_id").unwrap(), row.get("version").unwrap())).collect();
    let log = app.read_log(0, 100_000).await.unwrap();
    let mut wanted: Vec<(String, u64)> =
        log.into_iter().map(|event| (event.aggregate_id, event.version)).collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

/// Rebuilds again and again, from another process's point of view, while events are appended and handled.
async fn rebuild_beside_appends(url: &str, lanes: usize) {
    let app = open(url, lanes, Gate::open()).await;
    let running = app.start().await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (app, done) = (app.clone(), Arc::clone(&done));
        async move {
            for n in 0..200 {
                app.execute(format!("o-{}", n % 10), Do::Note(n.to_string())).await.unwrap();
            }
            done.store(true, Ordering::Relaxed);
        }
    });
    let other = open(url, lanes, Gate::open()).await;
    let mut rebuilds = 0;
    while !done.load(Ordering::Relaxed) || rebuilds < 5 {
        other.rebuild("applied", |_| {}).await.unwrap();
        rebuilds += 1;
    }
    writer.await.unwrap();
    assert_each_event_is_applied_once(&app).await;
    other.rebuild("applied", |_| {}).await.unwrap();
    assert_each_event_is_applied_once(&app).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuild_after_rebuild_beside_lanes_and_appends_applies_each_event_once() {
    rebuild_beside_appends(&Shop::new().url(), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebuild_after_rebuild_beside_one_lane_and_appends_applies_each_event_once() {
    rebuild_beside_appends(&Shop::new().url(), 1).await;
}

/// Where a transaction that is held does not hold up every other writer.
#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use common::eventually;

    const LANES: usize = 3;
    /// Enough that not all share the lane of [`GATED`].
    const FREE: [&str; 6] = ["free-0", "free-1", "free-2", "free-3", "free-4", "free-5"];

    fn url() -> String {
        factstream_tests::postgres::server().database()
    }

    async fn count(app: &App, sql: &str) -> u64 {
        app.store().query(sql, params![]).await.unwrap()[0].get("found").unwrap()
    }

    /// How many sessions wait for a lock of another one.
    async fn waiting(app: &App) -> u64 {
        let sql = "SELECT count(*) AS found FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        count(app, sql).await
    }

    /// Whether the switch waits for lanes to end, so that it can drop the table.
    async fn wanting_the_table(app: &App) -> bool {
        let sql = "SELECT count(*) AS found FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        count(app, sql).await > 0
    }

    async fn marked(app: &App) -> u64 {
        count(app, "SELECT count(*) AS found FROM fs_inbox WHERE handler = 'applied'").await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rebuild_after_rebuild_beside_lanes_and_appends_applies_each_event_once() {
        rebuild_beside_appends(&url(), 3).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rebuild_after_rebuild_beside_one_lane_and_appends_applies_each_event_once() {
        rebuild_beside_appends(&url(), 1).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_lane_commits_while_another_is_under_way_outlives_a_switch() {
        let (url, gate) = (url(), Gate::closed());
        let app = open(&url, LANES, gate.clone()).await;
        let running = app.start().await.unwrap();
        note_all(&app, &FREE).await;
        settled(&app).await;
        let marked_before = marked(&app).await;

        // The rebuild has read all there is and waits in the switch, for this transaction has the checkpoint's row.
        let mut holder = app.begin().await.unwrap();
        let sql = "UPDATE fs_checkpoints SET updated_at = updated_at WHERE handler = 'applied'";
        assert_eq!(holder.sql(sql, params![]).await.unwrap(), 1);
        let other = open(&url, LANES, Gate::open()).await;
        let rebuild = tokio::spawn(async move { other.rebuild("applied", |_| {}).await });
        eventually("the switch waits", || async { waiting(&app).await == 1 }).await;

        // Now one batch: a lane commits, another waits at the gate.
        let batch = [&[GATED][..], &FREE].concat();
        note_all(&app, &batch).await;
        let has_committed = || async { marked(&app).await > marked_before };
        eventually("a lane has committed", has_committed).await;
        holder.commit().await.unwrap();
        let goes_on = || async { rebuild.is_finished() || wanting_the_table(&app).await };
        eventually("the switch comes to its end, or waits for the lane", goes_on).await;
        gate.0.send_replace(true);
        rebuild.await.unwrap().unwrap();
        note_all(&app, &batch).await;
        assert_each_event_is_applied_once(&app).await;
        stop(running).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lane_that_is_under_way_over_a_switch_applies_its_events_once() {
        let (url, gate) = (url(), Gate::closed());
        let app = open(&url, LANES, gate.clone()).await;
        let running = app.start().await.unwrap();
        let batch = [&[GATED][..], &FREE].concat();
        note_all(&app, &batch).await;
        eventually("a lane has committed", || async { marked(&app).await > 0 }).await;

        let other = open(&url, LANES, Gate::open()).await;
        let rebuild = tokio::spawn(async move { other.rebuild("applied", |_| {}).await });
        note_all(&app, &batch).await;
        eventually("the switch waits for the lane", || async { waiting(&app).await > 0 }).await;
        note_all(&app, &batch).await;
        gate.0.send_replace(true);
        rebuild.await.unwrap().unwrap();
        note_all(&app, &batch).await;
        assert_each_event_is_applied_once(&app).await;
        stop(running).await;
    }
}
