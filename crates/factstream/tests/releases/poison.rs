//! Long runs of events that fail: they cost time and nothing else (G8, G13).

use crate::builds::{Effects, effects, make_effects, number};
use crate::common::{OrderEvent, Shop, eventually, quick, settled, stop};
use factstream::message::Message;
use factstream::{App, Consumer, Envelope, Failure, Handler, Tx};

fn message(key: usize, value: &[u8]) -> Message {
    Message {
        topic: "orders.events".into(),
        key: Some(format!("k-{key}").into_bytes()),
        value: Some(value.to_vec()),
        headers: [("event_type", "OrderNoted")].into_iter().collect(),
        timestamp: factstream::sql::now(),
    }
}

async fn publish(app: &App, messages: usize, value: &[u8]) {
    for first in (0..messages).step_by(1_000) {
        let batch = (first..messages.min(first + 1_000)).map(|key| message(key, value)).collect();
        app.broker().publish(batch).await.unwrap();
    }
}

#[tokio::test]
async fn thousands_of_undecodable_events_in_a_row_are_dead_letters_and_what_follows_is_handled() {
    const POISON: usize = 2_500;
    let shop = Shop::new();
    make_effects(&shop).await;
    let consumer = Consumer::new("c").handler(Effects("c"));
    let app = shop.builder().partitions(1).consumer(consumer).open().await.unwrap();
    publish(&app, POISON, b"{").await;
    publish(&app, 3, b"{\"text\":\"fine\"}").await;
    app.broker().publish(vec![message(POISON, b"{\"text\":\"fine\"}")]).await.unwrap();
    let running = app.start().await.unwrap();
    eventually("all are read", || async { app.status().await.handlers[0].lag_events == Some(0) }).await;
    let dead = number(&app, "SELECT count(*) FROM fs_dead_letters WHERE state = 'dead'").await;
    let parked = number(&app, "SELECT count(*) FROM fs_dead_letters WHERE state = 'parked'").await;
    assert_eq!((dead, parked), (POISON as u64, 3));
    assert_eq!(effects(&app, "c").await, (1, 1));
    stop(running).await;
}

/// Refuses every event.
struct Refuses;

impl Handler for Refuses {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        crate::builds::write_effect("tried", event, tx).await?;
        match &event.event {
            OrderEvent::Noted { text } if text == "fine" => Ok(()),
            _ => Err(Failure::permanent("no")),
        }
    }
}

#[tokio::test]
async fn a_long_run_of_events_that_a_handler_refuses_is_isolated_one_by_one() {
    const POISON: usize = 150;
    let shop = Shop::new();
    make_effects(&shop).await;
    let consumer = Consumer::new("c").handler(Refuses).retry(quick(1));
    let app = shop.builder().partitions(1).consumer(consumer).open().await.unwrap();
    publish(&app, POISON, b"{\"text\":\"refused\"}").await;
    app.broker().publish(vec![message(POISON, b"{\"text\":\"fine\"}")]).await.unwrap();
    let running = app.start().await.unwrap();
    settled(&app).await;
    let dead = number(&app, "SELECT count(*) FROM fs_dead_letters WHERE state = 'dead'").await;
    assert_eq!(dead, POISON as u64);
    assert_eq!(effects(&app, "tried").await, (1, 1), "what was refused has no effect");
    stop(running).await;
}
