//! Records of other producers: their keys, their headers, their times. What fails stops its key, and nothing else (G8).

use crate::common::{Shop, eventually, quick, settled, stop};
use crate::ledger::{Ledger, broken, ledger, with_ledger};
use crate::unreadable::send;
use factstream::{Consumer, Tombstones};
use std::sync::atomic::Ordering;

const NOTED: (&str, &[u8]) = ("event_type", b"OrderNoted");

fn text(text: &str) -> Vec<u8> {
    format!(r#"{{"text":"{text}"}}"#).into_bytes()
}

#[tokio::test]
async fn behind_a_failing_record_of_a_binary_key_the_key_waits_and_others_flow() {
    let shop = Shop::new();
    let handler = broken();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(handler.clone()).retry(quick(3))).await;
    let running = app.start().await.unwrap();
    let keys: [(Vec<u8>, &str); 5] = [
        (42_u64.to_be_bytes().to_vec(), "bytes:000000000000002a"),
        (vec![0xde, 0xad, 0xbe, 0xef], "bytes:deadbeef"),
        (b"\0\0\0\0\x01o-1".to_vec(), "bytes:00000000016f2d31"),
        (vec![], "bytes:"),
        (vec![b'x'; 300], "bytes:digest-"),
    ];
    for (key, _) in &keys {
        for what in ["permanent", "2", "3"] {
            send(&app, key.as_slice(), &text(what), &[NOTED]).await;
        }
    }
    send(&app, 43_u64.to_be_bytes(), &text("other"), &[NOTED]).await;
    settled(&app).await;
    assert_eq!(ledger(&app, "bytes:000000000000002b").await, ["other"]);
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    for (_, shown) in &keys {
        let letter = letters.iter().find(|letter| letter.key.starts_with(shown)).unwrap();
        assert_eq!(letter.parked_behind, 2, "{letters:?}");
        assert_eq!(ledger(&app, &letter.key).await, [""; 0]);
    }
    assert_eq!(letters.len(), keys.len());
    handler.broken.store(false, Ordering::SeqCst);
    app.dead_letters().redrive_all(None).await.unwrap();
    for letter in &letters {
        eventually("in order", || async { ledger(&app, &letter.key).await == ["permanent", "2", "3"] }).await;
    }
    stop(running).await;
}

#[tokio::test]
async fn the_value_names_the_aggregate_of_a_record_with_a_binary_key() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    send(&app, [0_u8, 7], br#"{"aggregate_id":"o-7","text":"seven"}"#, &[NOTED]).await;
    eventually("handled", || async { ledger(&app, "o-7").await == ["seven"] }).await;
    stop(running).await;
}

#[tokio::test]
async fn headers_of_others_may_be_any_bytes_and_times_any_usual_form() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    let partition = 3_u32.to_be_bytes();
    // As our own mirror writes a dead letter's copy.
    let copied: [(&str, &[u8]); 3] =
        [NOTED, ("kafka_dlt-original-partition", &partition), ("kafka_dlt-original-offset", b"\0\xff")];
    send(&app, "copy", &text("copy"), &copied).await;
    let times = ["1795946400", "1795946400250", "Sun, 29 Nov 2026 10:00:00 GMT", "2026-11-29T10:00:00"];
    for time in times {
        send(&app, "times", &text(time), &[NOTED, ("timestamp", time.as_bytes())]).await;
    }
    settled(&app).await;
    assert_eq!(ledger(&app, "copy").await, ["copy"]);
    assert_eq!(ledger(&app, "times").await, times);
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    stop(running).await;
}

/// Publishes a record without a value.
async fn erase(app: &factstream::App, key: &str, headers: &[(&str, &[u8])]) {
    let message = factstream::message::Message {
        topic: "orders.events".into(),
        key: Some(key.into()),
        value: None,
        headers: headers.iter().copied().collect(),
        timestamp: factstream::sql::now(),
    };
    app.broker().publish(vec![message]).await.unwrap();
}

#[tokio::test]
async fn a_tombstone_follows_the_consumers_policy_and_a_redrive_follows_a_changed_one() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    for key in ["bare", "typed", "unknown"] {
        send(&app, key, &text("before"), &[NOTED]).await;
    }
    erase(&app, "bare", &[]).await;
    erase(&app, "typed", &[NOTED]).await;
    erase(&app, "unknown", &[("event_type", b"NobodyKnows")]).await;
    for key in ["bare", "typed", "unknown"] {
        send(&app, key, &text("after"), &[NOTED]).await;
    }
    settled(&app).await;
    assert_eq!(ledger(&app, "bare").await, ["before", "after"]);
    assert_eq!(ledger(&app, "unknown").await, ["before", "after"]);
    assert_eq!(ledger(&app, "typed").await, ["before"], "an event without its content stops its key");
    assert_eq!(app.status().await.handlers[0].skipped, 2);
    stop(running).await;

    // Another policy: the letter goes through, and with it what waits behind.
    let skipping = Consumer::new("ledger").handler(Ledger::default()).tombstones(Tombstones::Skip);
    let app = shop.builder().consumer(skipping).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.dead_letters().redrive_all(None).await.unwrap();
    eventually("it flows", || async { ledger(&app, "typed").await == ["before", "after"] }).await;
    stop(running).await;

    let strict = Consumer::new("ledger").handler(Ledger::default()).tombstones(Tombstones::DeadLetter);
    let app = shop.builder().consumer(strict).open().await.unwrap();
    let running = app.start().await.unwrap();
    erase(&app, "bare", &[]).await;
    eventually("a letter", || async { app.dead_letters().list(None, false, 0).await.unwrap().len() == 1 })
        .await;
    stop(running).await;
}
