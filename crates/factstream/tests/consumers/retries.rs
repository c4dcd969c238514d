//! A failing event stops its key and no other; it is tried again, and then it is a dead letter (G7, G8).

use crate::common::{OrderEvent, Shop, eventually, quick, settled, stop};
use crate::ledger::{Ledger, broken, ledger, note, what, with_ledger};
use factstream::{Consumer, Envelope, Failure, Handler, Tx, params, sql};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn a_transient_failure_is_retried_until_it_works_and_leaves_nothing_behind() {
    let shop = Shop::new();
    let handler = broken();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(handler.clone()).retry(quick(1_000))).await;
    let running = app.start().await.unwrap();
    note(&app, "bad", "before").await;
    note(&app, "bad", "transient").await;
    note(&app, "bad", "after").await;
    note(&app, "good", "free").await;
    eventually("the other key goes on", || async { ledger(&app, "good").await == ["free"] }).await;
    eventually("it was tried some times", || async { app.status().await.handlers[0].attempts >= 3 }).await;
    assert_eq!(ledger(&app, "bad").await, ["before"], "what is behind waits");
    let status = app.status().await;
    assert_eq!((status.handlers[0].retrying, status.handlers[0].parked), (Some(1), Some(1)));
    handler.broken.store(false, Ordering::SeqCst);
    settled(&app).await;
    eventually("in order", || async { ledger(&app, "bad").await == ["before", "transient", "after"] }).await;
    for table in ["fs_dead_letters", "fs_blocked_keys", "fs_dead_letter_history"] {
        let rows = app.store().query(&format!("SELECT * FROM {table}"), params![]).await.unwrap();
        assert!(rows.is_empty(), "{table}");
    }
    stop(running).await;
}

#[tokio::test]
async fn a_retry_that_was_planned_by_a_clock_an_hour_ahead_does_not_wait_for_an_hour() {
    let shop = Shop::new();
    let handler = broken();
    let consumer = || Consumer::new("ledger").handler(handler.clone()).retry(quick(1_000));
    let app = with_ledger(&shop, consumer()).await;
    let running = app.start().await.unwrap();
    note(&app, "bad", "transient").await;
    let retrying = || async { app.status().await.handlers[0].retrying == Some(1) };
    eventually("it waits for a retry", retrying).await;
    stop(running).await;
    let ahead = sql::now().checked_add(Duration::from_secs(3_600)).unwrap();
    let mut tx = app.begin().await.unwrap();
    assert_eq!(tx.sql("UPDATE fs_blocked_keys SET next_attempt_at = $1", params![ahead]).await.unwrap(), 1);
    tx.commit().await.unwrap();
    handler.broken.store(false, Ordering::SeqCst);
    let running = app.start().await.unwrap();
    eventually("it is handled", || async { ledger(&app, "bad").await == ["transient"] }).await;
    stop(running).await;
}

#[tokio::test]
async fn panics_and_handlers_that_take_too_long_are_failures_like_any_other() {
    let shop = Shop::new();
    let consumer =
        Consumer::new("ledger").handler(broken()).retry(quick(2)).time_limit(Duration::from_millis(200));
    let app = with_ledger(&shop, consumer).await;
    let running = app.start().await.unwrap();
    note(&app, "p", "panic").await;
    note(&app, "s", "slow").await;
    note(&app, "g", "fine").await;
    settled(&app).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let mut reasons: Vec<String> = letters.iter().map(|letter| letter.reason.clone().unwrap()).collect();
    reasons.sort();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("panicked: told to"), "{reasons:?}");
    assert!(reasons[1].contains("longer than 200ms"), "{reasons:?}");
    assert!(letters.iter().all(|letter| letter.attempts == 2));
    assert_eq!(ledger(&app, "g").await, ["fine"]);
    stop(running).await;
}

/// Writes a row whose foreign key is checked only at the commit.
struct Dangling;

impl Handler for Dangling {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let parent = if what(&event.event) == "orphan" { "nobody" } else { "p" };
        tx.sql("INSERT INTO children (parent) VALUES ($1)", params![parent]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn what_breaks_a_rule_at_the_commit_is_that_events_failure_and_stops_no_other() {
    let shop = Shop::new();
    let app =
        shop.builder().consumer(Consumer::new("c").handler(Dangling).retry(quick(2))).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    for sql in [
        "CREATE TABLE parents (id TEXT PRIMARY KEY)",
        "CREATE TABLE children (parent TEXT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO parents (id) VALUES ('p')",
    ] {
        tx.sql(sql, params![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    for n in 0..20 {
        note(&app, &format!("o-{n}"), if n == 7 { "orphan" } else { "fine" }).await;
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.key.as_str()).collect::<Vec<_>>(), ["o-7"]);
    assert_eq!(app.store().query("SELECT * FROM children", params![]).await.unwrap().len(), 19);
    stop(running).await;
}

#[tokio::test]
async fn one_failing_event_in_a_large_batch_hurts_no_other_and_order_holds_with_many_lanes() {
    for concurrency in [1, 4] {
        let shop = Shop::new();
        let handler = broken();
        let consumer =
            Consumer::new("ledger").handler(handler.clone()).retry(quick(2)).concurrency(concurrency);
        let app = with_ledger(&shop, consumer).await;
        for n in 0..300 {
            let text = if n == 123 { "permanent".to_owned() } else { n.to_string() };
            note(&app, &format!("o-{}", n % 10), &text).await;
        }
        let running = app.start().await.unwrap();
        settled(&app).await;
        for o in 0..10 {
            let all = (0..300).filter(|n| n % 10 == o).map(|n| n.to_string());
            let wanted: Vec<String> = if o == 3 { all.take(12).collect() } else { all.collect() };
            assert_eq!(ledger(&app, &format!("o-{o}")).await, wanted, "key o-{o} with {concurrency} lanes");
        }
        handler.broken.store(false, Ordering::SeqCst);
        app.dead_letters().redrive_all(None).await.unwrap();
        eventually("the key goes on", || async { ledger(&app, "o-3").await.len() == 30 }).await;
        assert_eq!(
            ledger(&app, "o-3").await[13..],
            (133..300).step_by(10).map(|n| n.to_string()).collect::<Vec<_>>()
        );
        stop(running).await;
    }
}

#[tokio::test]
async fn retries_and_dead_letters_survive_a_restart() {
    let shop = Shop::new();
    {
        let consumer = Consumer::new("ledger").handler(broken()).retry(quick(1_000_000));
        let app = with_ledger(&shop, consumer).await;
        let running = app.start().await.unwrap();
        note(&app, "t", "transient").await;
        note(&app, "t", "behind").await;
        note(&app, "p", "permanent").await;
        eventually("both are held", || async {
            let handler = app.status().await.handlers.remove(0);
            (handler.retrying, handler.dead_letters, handler.parked) == (Some(1), Some(1), Some(1))
        })
        .await;
        drop(running); // no clean stop
    }
    let app =
        shop.builder().consumer(Consumer::new("ledger").handler(Ledger::default())).open().await.unwrap();
    let running = app.start().await.unwrap();
    eventually("the retry goes on", || async { ledger(&app, "t").await == ["transient", "behind"] }).await;
    app.dead_letters().redrive_all(None).await.unwrap();
    eventually("the letter too", || async { ledger(&app, "p").await == ["permanent"] }).await;
    stop(running).await;
}
