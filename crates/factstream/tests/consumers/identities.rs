//! What makes two records one event, or two: ids of other producers, topics made anew, stores of earlier builds (G6).

use crate::common::{OrderEvent, Shop, eventually, settled, stop};
use crate::ledger::{Ledger, ledger, with_ledger};
use factstream::message::{Headers, Message};
use factstream::sql::now;
use factstream::{App, Consumer, Envelope, Event, ExternalHandler, Failure, Handler, Tx, params};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

#[derive(Event, Serialize, Deserialize)]
#[event(topic = "parcels.events")]
enum ParcelEvent {
    #[event(name = "ParcelNoted")]
    Noted { text: String },
}

/// Writes parcels into the ledger, too.
struct Parcels;

impl Handler for Parcels {
    type Events = ParcelEvent;

    async fn handle(&self, event: &Envelope<ParcelEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let ParcelEvent::Noted { text } = &event.event;
        let sql = "INSERT INTO ledger (entry, aggregate, what) SELECT coalesce(max(entry), 0) + 1, $1, $2 FROM ledger";
        tx.sql(sql, params![&event.aggregate_id, text]).await?;
        Ok(())
    }
}

fn both() -> Consumer {
    Consumer::new("ledger").handler(Ledger::default()).handler(Parcels)
}

/// Publishes a note of a foreign producer.
async fn send(app: &App, topic: &str, text: &str, headers: &[(&str, &str)]) {
    let event_type = if topic == "orders.events" { "OrderNoted" } else { "ParcelNoted" };
    let mut all = Headers::from_iter([("event_type", event_type)]);
    all.extend(headers.iter().copied());
    let value = format!(r#"{{"text":"{text}"}}"#).into_bytes();
    let (key, value) = (Some(b"k".to_vec()), Some(value));
    let message = Message { topic: topic.into(), key, value, headers: all, timestamp: now() };
    app.broker().publish(vec![message]).await.unwrap();
}

#[tokio::test]
async fn one_foreign_id_on_two_topics_or_of_two_sources_is_two_events_and_sent_twice_it_is_one() {
    let shop = Shop::new();
    let app = with_ledger(&shop, both()).await;
    let running = app.start().await.unwrap();
    for _ in 0..2 {
        send(&app, "orders.events", "of orders", &[("event_id", "1")]).await;
        send(&app, "parcels.events", "of parcels", &[("event_id", "1")]).await;
        send(&app, "parcels.events", "of a", &[("event_id", "1"), ("source", "a")]).await;
        send(&app, "parcels.events", "of b", &[("event_id", "1"), ("source", "b")]).await;
    }
    settled(&app).await;
    let mut handled = ledger(&app, "k").await;
    handled.sort();
    assert_eq!(handled, ["of a", "of b", "of orders", "of parcels"]);
    stop(running).await;
}

/// What an outside system is asked with.
#[derive(Clone, Default)]
struct Asking(Arc<Mutex<Vec<(String, String)>>>);

impl ExternalHandler for Asking {
    type Events = OrderEvent;
    type Outcome = ();

    async fn call(&self, event: &Envelope<OrderEvent>) -> Result<(), Failure> {
        self.0.lock().unwrap().push((event.event_id.clone(), event.identity().to_owned()));
        Ok(())
    }

    async fn handle(&self, _: &Envelope<OrderEvent>, (): &(), _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_caller_sees_the_producers_id_and_asks_with_one_that_nobody_else_has() {
    let shop = Shop::new();
    let asking = Asking::default();
    let app = shop.builder().consumer(Consumer::new("asking").external(asking.clone())).open().await.unwrap();
    let running = app.start().await.unwrap();
    send(&app, "orders.events", "one", &[("event_id", "1"), ("source", "a")]).await;
    send(&app, "orders.events", "two", &[("event_id", "1"), ("source", "b")]).await;
    app.execute("o-1", crate::common::Do::Create(1)).await.unwrap();
    eventually("all are asked", || async { asking.0.lock().unwrap().len() == 3 }).await;
    let asked = asking.0.lock().unwrap().clone();
    let (ours, foreign): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(id, _)| id != "1");
    assert_ne!(foreign[0].1, foreign[1].1);
    assert_eq!(ours[0].0, ours[0].1, "an event of ours is known by its id");
    stop(running).await;
}

/// Deletes the topic and makes it anew: offsets begin at 0, and the group has none.
async fn make_anew(app: &App, topic: &str) {
    let mut tx = app.begin().await.unwrap();
    for sql in [
        "DELETE FROM fs_records WHERE topic = $1",
        "DELETE FROM fs_group_offsets WHERE topic = $1",
        "UPDATE fs_partitions SET oldest_offset = 0, next_offset = 0 WHERE topic = $1",
    ] {
        tx.sql(sql, params![topic]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn records_without_an_id_in_a_topic_made_anew_are_new_events() {
    let shop = Shop::new();
    let app = with_ledger(&shop, both()).await;
    let running = app.start().await.unwrap();
    for text in ["1", "2", "3", "4"] {
        send(&app, "orders.events", text, &[]).await;
    }
    settled(&app).await;
    assert_eq!(next_offset(&app).await, 4);
    stop(running).await;
    make_anew(&app, "orders.events").await;
    let app = shop.builder().consumer(both()).open().await.unwrap();
    let running = app.start().await.unwrap();
    for text in ["1", "5", "6"] {
        send(&app, "orders.events", text, &[]).await; // the first one reads as before
    }
    settled(&app).await;
    assert_eq!(ledger(&app, "k").await, ["1", "2", "3", "4", "1", "5", "6"]);
    assert_eq!(next_offset(&app).await, 3, "the store knows where it stands in the new topic");
    stop(running).await;
}

/// Where the consumer stands in the only partition of the topic that has records, as the store has it.
async fn next_offset(app: &App) -> u64 {
    let sql = "SELECT next_offset FROM fs_offsets WHERE handler = 'ledger' AND topic = 'orders.events' AND next_offset > 0";
    let rows = app.store().query(sql, params![]).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].get("next_offset").unwrap()
}

#[tokio::test]
async fn what_an_earlier_build_handled_is_known_after_the_upgrade() {
    let shop = Shop::new();
    let app = with_ledger(&shop, both()).await;
    // A store that was made by an earlier build, and carried over now.
    let mut tx = app.begin().await.unwrap();
    let sql = "UPDATE fs_migrations SET applied_at = '2020-01-01T00:00:00.000000Z' WHERE component = 'framework' AND version < 3";
    tx.sql(sql, params![]).await.unwrap();
    let sql = "INSERT INTO fs_inbox (handler, event_id, handled_at) VALUES ('ledger', $1, $2)";
    let partition = factstream::partition::partition_of(b"k", 6);
    for mark in ["1".to_owned(), format!("orders.events/{partition}/1")] {
        tx.sql(sql, params![mark, now()]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let app = shop.builder().consumer(both()).open().await.unwrap();
    send(&app, "orders.events", "handled, by its id", &[("event_id", "1")]).await;
    send(&app, "orders.events", "handled, by its place", &[]).await;
    send(&app, "orders.events", "new", &[]).await;
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(ledger(&app, "k").await, ["new"]);
    stop(running).await;
}
