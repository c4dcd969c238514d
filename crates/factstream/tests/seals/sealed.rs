//! A shop with a sealed log, and what an attacker does to it.

use super::common::{Do, Order, Shop, eventually, stop};
use factstream::seals::{Checkpoint, Finding, Verification};
use factstream::sql::Params;
use factstream::{App, params};
use std::time::Duration;

/// Soon enough for a test.
pub(crate) const SOON: Duration = Duration::from_millis(1);

pub(crate) fn is_postgres() -> bool {
    std::env::var("FACTSTREAM_TEST_STORE").as_deref() == Ok("postgres")
}

/// Appends this many events.
pub(crate) async fn append(app: &App, from: usize, events: usize) {
    let commands = (from..from + events).map(|n| (format!("o-{n}"), Do::Create(n as i64)));
    for outcome in app.execute_all::<Order, _>(commands).await.unwrap() {
        outcome.unwrap();
    }
}

/// Runs the application until all of the log is sealed.
pub(crate) async fn seal(shop: &Shop) {
    let app = shop.builder().seal_within(SOON).open().await.unwrap();
    let running = app.start().await.unwrap();
    eventually("all is sealed", || async { app.seals().status().await.unwrap().unsealed_events == 0 }).await;
    stop(running).await;
}

/// A shop whose log of this many events is sealed; nothing runs on it.
pub(crate) async fn sealed(events: usize) -> (Shop, App) {
    let shop = Shop::new();
    let app = shop.open().await;
    append(&app, 0, events).await;
    seal(&shop).await;
    (shop, app)
}

/// Runs statements as somebody who may do everything.
pub(crate) async fn run(app: &App, statements: impl IntoIterator<Item = (&str, Params)>) {
    let mut tx = app.begin().await.unwrap();
    for (sql, params) in statements {
        assert!(tx.sql(sql, params).await.unwrap() > 0, "{sql}");
    }
    tx.commit().await.unwrap();
}

/// The statement for the engine at hand.
pub(crate) fn either(sqlite: &'static str, postgres: &'static str) -> &'static str {
    if is_postgres() { postgres } else { sqlite }
}

pub(crate) async fn verify(app: &App, checkpoints: &[Checkpoint]) -> Verification {
    let (mut last, head) = (0, app.head().await.unwrap());
    let seen = |progress: factstream::seals::Progress| {
        assert!(progress.position > last && progress.head == head, "{progress:?}");
        last = progress.position;
    };
    app.seals().verify(checkpoints, seen).await.unwrap()
}

/// What is found without a checkpoint.
pub(crate) async fn found(app: &App) -> Vec<Finding> {
    let verification = verify(app, &[]).await;
    assert_eq!(verification.passes(), verification.findings.is_empty());
    verification.findings
}

pub(crate) async fn count(app: &App, table: &str) -> u64 {
    let rows = app.store().query(&format!("SELECT count(*) AS n FROM {table}"), params![]).await.unwrap();
    rows[0].get("n").unwrap()
}
