//! How long the inbox remembers what was handled.

use crate::common::Order;
use crate::common::{Shop, fill, settled, stop};
use crate::ledger::{CREATE_LEDGER, Ledger, with_ledger};
use crate::shifted::Shifted;
use factstream::{App, Consumer, params};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

const MARKS: u64 = 12_500;
const EFFECTS: &str = "SELECT count(*) AS count FROM ledger";

async fn run(app: &App, sql: &str) {
    let mut tx = app.begin().await.unwrap();
    tx.sql(sql, params![]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn count(app: &App, sql: &str) -> u64 {
    app.store().query(sql, params![]).await.unwrap()[0].get("count").unwrap()
}

async fn open(shop: &Shop) -> App {
    with_ledger(shop, Consumer::new("ledger").handler(Ledger::default())).await
}

#[tokio::test]
async fn all_marks_that_are_old_go_in_one_pass_and_those_of_others_stay() {
    let shop = Shop::new();
    let app = open(&shop).await;
    for handler in ["ledger", "of another service"] {
        run(
            &app,
            &format!(
                "INSERT INTO fs_inbox (handler, event_id, handled_at) \
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MARKS}) \
                 SELECT '{handler}', 'e' || i, '2020-01-01T00:00:00.' || CAST(i + 100000 AS TEXT) || 'Z' FROM n"
            ),
        )
        .await;
    }
    assert_eq!(app.tidy().await.unwrap(), MARKS);
    assert_eq!(app.tidy().await.unwrap(), 0);
    assert_eq!(count(&app, "SELECT count(*) AS count FROM fs_inbox").await, MARKS);
}

#[tokio::test]
async fn a_mark_outlives_its_time_while_its_record_may_be_delivered_again() {
    let shop = Shop::new();
    let app = open(&shop).await;
    let running = app.start().await.unwrap();
    fill(&app, 0..3).await;
    settled(&app).await;
    stop(running).await;
    assert_eq!(count(&app, EFFECTS).await, 8);
    assert_eq!(app.tidy().await.unwrap(), 0, "they are new");
    // The group's process died before it committed its offsets, and nobody has run it for years.
    run(&app, "UPDATE fs_inbox SET handled_at = '2020-01-01T00:00:01.000000Z'").await;
    run(&app, "UPDATE fs_records SET published_at = '2020-01-01T00:00:00.000000Z'").await;
    run(&app, "UPDATE fs_group_offsets SET next_offset = 0").await;
    assert_eq!(app.tidy().await.unwrap(), 0, "its records come again");
    let running = app.start().await.unwrap();
    fill(&app, 3..4).await;
    settled(&app).await;
    stop(running).await;
    assert_eq!(count(&app, EFFECTS).await, 8 + 2, "each event has one effect");
    assert!(app.tidy().await.unwrap() > 0, "what was committed is forgotten");
}

/// How long a mark is kept is told by the clock that dates it, the store's, whatever a process's own says.
#[tokio::test]
async fn a_process_whose_clock_is_months_ahead_forgets_no_mark() {
    const MONTHS: i64 = -90 * 24;
    let shop = Shop::new();
    let store = shop.builder().open().await.unwrap().store().clone();
    let store = Shifted::by(store, Arc::new(AtomicI64::new(MONTHS)));
    let consumer = Consumer::new("ledger").handler(Ledger::default());
    let app = App::on(store).service("shop").aggregate::<Order>().consumer(consumer).open().await.unwrap();
    run(&app, CREATE_LEDGER).await;
    let running = app.start().await.unwrap();
    fill(&app, 0..3).await;
    settled(&app).await;
    stop(running).await;
    assert_eq!(count(&app, EFFECTS).await, 8);
    assert_eq!(app.tidy().await.unwrap(), 0, "they are new by the store's clock");
    assert_eq!(count(&app, "SELECT count(*) AS count FROM fs_inbox").await, 8);
    let now = app.store().clock().await.unwrap();
    let newest = "SELECT count(*) AS count FROM fs_inbox WHERE handled_at > $1";
    let newer = app.store().query(newest, params![now]).await.unwrap()[0].get::<u64>("count").unwrap();
    assert_eq!(newer, 0, "marks are dated by the store's clock");
}
