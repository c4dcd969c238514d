//! Topics of other teams that carry plain JSON and none of our headers.

use crate::common::{Shop, eventually, quick, settled, stop};
use factstream::message::{Headers, Message};
use factstream::{App, Consumer, Envelope, Failure, Handler, Json, ReadModel, Tx};

#[derive(serde::Deserialize)]
struct Quote {
    pair: String,
    rate: Box<serde_json::value::RawValue>,
    #[serde(default)]
    id: String,
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "rates")]
struct LastQuote {
    #[column(key)]
    pair: String,
    rate: String,
    times: i64,
}

struct KeepRates;

impl Handler for KeepRates {
    type Events = Json<Quote>;

    async fn handle(&self, event: &Envelope<Json<Quote>>, tx: &mut Tx) -> Result<(), Failure> {
        let Json(rate) = &event.event;
        assert_eq!(
            (event.aggregate_id.as_str(), event.event_type.as_str()),
            (rate.pair.as_str(), "fx.rates")
        );
        let times = tx.get::<LastQuote>(&rate.pair).await?.map_or(0, |before| before.times) + 1;
        tx.put(&LastQuote { pair: rate.pair.clone(), rate: rate.rate.get().to_owned(), times }).await?;
        Ok(())
    }
}

async fn send(app: &App, values: &[&str]) {
    let message = |value: &&str| Message {
        topic: "fx.rates".into(),
        key: None,
        value: Some(value.as_bytes().to_vec()),
        headers: Headers::new(),
        timestamp: factstream::sql::now(),
    };
    app.broker().publish(values.iter().map(message).collect()).await.unwrap();
}

async fn opened(shop: &Shop) -> App {
    let topic =
        Consumer::new("pricing").table_of::<LastQuote>().retry(quick(2)).topic("fx.rates").json::<Quote>();
    let consumer = topic.key(|rate| rate.pair.clone()).handler(KeepRates);
    shop.builder().consumer(consumer).open().await.unwrap()
}

#[tokio::test]
async fn plain_json_is_read_with_every_digit_and_in_the_order_of_its_key() {
    let shop = Shop::new();
    let app = opened(&shop).await;
    let running = app.start().await.unwrap();
    let fine = r#"{"pair":"EUR/USD","rate":1.12345678901234567890123}"#;
    send(
        &app,
        &[fine, r#"{"pair":"EUR/CHF","rate":"Jane Doe","id":7}"#, fine, r#"{"pair":"EUR/JPY","rate":1}"#],
    )
    .await;
    settled(&app).await;
    let reader = &app;
    let row = |pair: &'static str| async move { reader.read::<LastQuote>().get(pair).await.unwrap() };
    let usd = row("EUR/USD").await.unwrap();
    assert_eq!(
        (usd.rate.as_str(), usd.times),
        ("1.12345678901234567890123", 2),
        "two records are two messages"
    );
    assert_eq!(row("EUR/JPY").await.unwrap().times, 1);
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let reason = letters[0].reason.as_deref().unwrap();
    assert!(reason.contains("id: invalid type: integer, expected a string"), "{reason}");
    assert_eq!((letters.len(), letters[0].event_type.as_deref()), (1, None));
    app.dead_letters().edit(letters[0].id, r#"{"pair":"EUR/CHF","rate":0.95}"#).await.unwrap();
    eventually("redriven", || async { row("EUR/CHF").await.is_some_and(|row| row.rate == "0.95") }).await;
    stop(running).await;
}

#[tokio::test]
async fn an_id_that_the_value_has_makes_two_records_one_message() {
    let shop = Shop::new();
    let topic = Consumer::new("pricing").table_of::<LastQuote>().topic("fx.rates").json::<Quote>();
    let consumer = topic.key(|rate| rate.pair.clone()).event_id(|rate| rate.id.clone()).handler(KeepRates);
    let app = shop.builder().consumer(consumer).open().await.unwrap();
    let running = app.start().await.unwrap();
    let sent = r#"{"pair":"EUR/USD","rate":1,"id":"m-1"}"#;
    send(&app, &[sent, sent, r#"{"pair":"EUR/USD","rate":2,"id":"m-2"}"#]).await;
    settled(&app).await;
    assert_eq!(app.read::<LastQuote>().get("EUR/USD").await.unwrap().unwrap().times, 2);
    stop(running).await;
}

#[tokio::test]
async fn a_handler_of_json_without_its_topic_is_refused() {
    let shop = Shop::new();
    let refused =
        shop.builder().consumer(Consumer::new("pricing").handler(KeepRates)).open().await.err().unwrap();
    assert!(refused.to_string().contains(".topic(\"..\").json::<T>()"), "{refused}");
}
