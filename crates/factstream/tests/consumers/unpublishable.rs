//! Events that can never be published as they are: refused before they are in the log, and set aside if they are there all the
//! same. Their key waits, others flow (G5, G8, G9).

use crate::common::{Do, Order, Shop, eventually, settled, stop};
use crate::ledger::{Ledger, ledger, note, with_ledger};
use factstream::{App, Consumer, params};

async fn letters(app: &App) -> Vec<factstream::dead_letters::Summary> {
    app.dead_letters().list(None, false, 0).await.unwrap()
}

/// What somebody does to the log who should not.
async fn damage(app: &App, id: &str, set: &str) {
    let mut tx = app.begin().await.unwrap();
    let sql = format!("UPDATE events SET {set} WHERE aggregate_id = $1 AND version = 2");
    assert_eq!(tx.sql(&sql, params![id]).await.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_event_that_cannot_be_published_stops_its_key_until_a_person_deals_with_it() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    for id in ["array", "metadata", "topic", "fine"] {
        for text in ["1", "2", "3"] {
            note(&app, id, text).await;
        }
    }
    damage(&app, "array", "event_data = '[2]'").await;
    damage(&app, "metadata", r#"metadata = '{"source":5}'"#).await;
    damage(&app, "topic", r#"metadata = '{"source":"a","topic":"no topic"}'"#).await;
    let running = app.start().await.unwrap();
    settled(&app).await;
    note(&app, "metadata", "4").await;
    note(&app, "fine", "4").await;
    settled(&app).await;
    assert_eq!(ledger(&app, "fine").await, ["1", "2", "3", "4"], "others flow");
    for id in ["array", "metadata", "topic"] {
        assert_eq!(ledger(&app, id).await, ["1"], "{id} waits");
    }
    let found = letters(&app).await;
    let of = |key: &str| found.iter().find(|letter| letter.key == key).unwrap();
    assert_eq!(
        (found.len(), of("array").parked_behind, of("metadata").parked_behind),
        (3, 1, 2),
        "{found:?}"
    );
    let status = app.status().await.relay;
    assert_eq!((status.dead_letters, status.parked), (Some(3), Some(4)));
    stop(running).await;

    // Also a relay that starts later knows what waits.
    let app =
        shop.builder().consumer(Consumer::new("ledger").handler(Ledger::default())).open().await.unwrap();
    let running = app.start().await.unwrap();
    note(&app, "metadata", "5").await;
    settled(&app).await;
    assert_eq!(ledger(&app, "metadata").await, ["1"]);

    app.dead_letters().redrive(of("array").id).await.unwrap();
    let history = |id: u64| {
        let letters = app.dead_letters();
        async move { letters.show(id).await.unwrap().history.len() }
    };
    eventually("it is refused again", || async { history(of("array").id).await == 3 }).await;
    app.dead_letters().edit(of("array").id, r#"{"text":"2, mended"}"#).await.unwrap();
    eventually("in order", || async { ledger(&app, "array").await == ["1", "2, mended", "3"] }).await;
    // What its metadata does not say, the build does: the topic of its type.
    app.dead_letters().redrive(of("metadata").id).await.unwrap();
    eventually("in order", || async { ledger(&app, "metadata").await == ["1", "2", "3", "4", "5"] }).await;
    app.dead_letters().discard(of("topic").id, "a test").await.unwrap();
    eventually("without it", || async { ledger(&app, "topic").await == ["1", "3"] }).await;
    for id in ["metadata", "topic"] {
        note(&app, id, "last").await;
        eventually("the key flows", || async { ledger(&app, id).await.last().unwrap() == "last" }).await;
    }
    settled(&app).await;
    assert!(letters(&app).await.is_empty());
    stop(running).await;
}

#[tokio::test]
async fn an_event_that_is_too_large_is_refused_by_commands_and_transactions_and_the_limit_is_a_choice() {
    let shop = Shop::new();
    let app = shop.builder().event_bytes_max(2_000).open().await.unwrap();
    let large = || Do::Note("x".repeat(2_000));
    let error = app.execute::<Order, _>("o-1", large()).await.unwrap_err().to_string();
    assert!(error.contains("OrderNoted") && error.contains("event_bytes_max"), "{error}");
    let mut tx = app.begin().await.unwrap();
    tx.command::<Order, _>("o-1", large()).await.unwrap();
    let error = tx.commit().await.unwrap_err().to_string();
    assert!(error.contains("order/o-1"), "{error}");
    assert_eq!(app.head().await.unwrap(), 0);
    let app = shop.open().await;
    app.execute::<Order, _>("o-1", large()).await.unwrap();
    assert!(
        app.execute::<Order, _>("o-1", Do::Note("x".repeat(1_000_000))).await.is_err(),
        "beyond Kafka's limit"
    );
}

#[tokio::test]
async fn events_of_a_topic_that_is_missing_wait_for_it_and_others_flow() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    for id in ["gone", "fine"] {
        for text in ["1", "2", "3"] {
            note(&app, id, text).await;
        }
    }
    damage(&app, "gone", r#"metadata = '{"source":"a","topic":"gone.events"}'"#).await;
    let running = app.start().await.unwrap();
    eventually("others flow", || async { ledger(&app, "fine").await == ["1", "2", "3"] }).await;
    note(&app, "gone", "4").await;
    note(&app, "fine", "4").await;
    eventually("others flow", || async { ledger(&app, "fine").await.len() == 4 }).await;
    eventually("its key waits", || async { app.status().await.relay.parked == Some(2) }).await;
    let relay = app.status().await.relay;
    assert_eq!((relay.retrying, relay.dead_letters, relay.restarts), (Some(1), Some(0), 0), "{relay:?}");
    assert!(relay.reasons.iter().any(|reason| reason.contains("gone.events")), "{relay:?}");
    assert_eq!(ledger(&app, "gone").await, ["1"]);

    app.broker().declare(&[factstream::Topic::new("gone.events", 1)]).await.unwrap();
    settled(&app).await;
    assert_eq!(ledger(&app, "gone").await, ["1", "3", "4"], "in order");
    let sql = "SELECT count(*) AS records FROM fs_records WHERE topic = 'gone.events'";
    let rows = app.store().query(sql, params![]).await.unwrap();
    assert_eq!(rows[0].get::<u64>("records").unwrap(), 1);
    assert!(app.status().await.relay.reasons.is_empty());
    stop(running).await;
}
