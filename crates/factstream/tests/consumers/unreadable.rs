//! Nothing that cannot be read is dropped (G12).

use crate::common::{Shop, eventually, settled, stop};
use crate::ledger::{Ledger, ledger, with_ledger};
use factstream::message::Message;
use factstream::{App, Consumer, UnknownTypes};

const NOTED: (&str, &[u8]) = ("event_type", b"OrderNoted");
const UNKNOWN: (&str, &[u8]) = ("event_type", b"NobodyKnows");

/// Publishes what any producer might.
pub(crate) async fn send(app: &App, key: impl Into<Vec<u8>>, value: &[u8], headers: &[(&str, &[u8])]) {
    let message = Message {
        topic: "orders.events".into(),
        key: Some(key.into()),
        value: Some(value.to_vec()),
        headers: headers.iter().copied().collect(),
        timestamp: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    app.broker().publish(vec![message]).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_the_partition_goes_on() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    send(&app, "k1", b"{\"text\":\"x\"}", &[]).await;
    send(&app, "k2", b"not json", &[NOTED]).await;
    send(&app, "k3", &[0xff, 0xfe], &[NOTED]).await;
    send(&app, "k4", b"{\"text\":\"x\"}", &[NOTED, ("schema_version", b"7")]).await;
    send(&app, "k5", b"{\"text\":\"x\"}", &[NOTED, ("timestamp", b"soon")]).await;
    send(&app, "k6", b"{\"text\":\"x\"}", &[NOTED, ("source", &[0xff])]).await;
    send(&app, "k7", b"{\"text\":\"x\"}", &[UNKNOWN]).await;
    send(&app, "k8", b"{\"text\":\"fine\"}", &[NOTED]).await;
    settled(&app).await;
    assert_eq!(ledger(&app, "k8").await, ["fine"]);
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let mut keys: Vec<&str> = letters.iter().map(|letter| letter.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["k1", "k2", "k3", "k4", "k5", "k6"], "the unknown type is skipped and counted");
    assert_eq!(app.status().await.handlers[0].skipped, 1);
    let k3 = letters.iter().find(|letter| letter.key == "k3").unwrap();
    let shown = app.dead_letters().show(k3.id).await.unwrap();
    assert_eq!(shown.value, Some(factstream::dead_letters::Bytes::Base64("//4=".into())));
    stop(running).await;
}

#[tokio::test]
async fn a_consumer_may_demand_that_every_type_is_known() {
    let shop = Shop::new();
    let consumer = Consumer::new("ledger").handler(Ledger::default()).unknown_types(UnknownTypes::DeadLetter);
    let app = with_ledger(&shop, consumer).await;
    let running = app.start().await.unwrap();
    send(&app, "k", b"{}", &[UNKNOWN]).await;
    eventually("a letter", || async { app.dead_letters().list(None, false, 0).await.unwrap().len() == 1 })
        .await;
    stop(running).await;
}
