//! Event versioning on a real SQLite file: what an older build stored is read by a newer one, everywhere it is read.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use factstream::{
    Aggregate, App, Command, Consumer, Envelope, Event, Failure, Fold, Handler, ReadModel, Tx, Upcasters,
    params,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// As the first build had it.
mod first {
    use super::*;

    #[derive(Event, Serialize, Deserialize)]
    #[event(topic = "customers.events")]
    pub enum CustomerEvent {
        #[event(name = "CustomerAdded", version = 1)]
        Added { name: String },
    }

    #[derive(Default, Clone)]
    pub struct Customer;

    impl Aggregate for Customer {
        const TYPE: &'static str = "customer";
        type Event = CustomerEvent;
        fn apply(&mut self, _: &CustomerEvent) {}
    }

    pub struct Add(pub &'static str);

    impl Command<Customer> for Add {
        type Error = Infallible;
        fn decide(&self, _: &Customer) -> Result<Vec<CustomerEvent>, Infallible> {
            Ok(vec![CustomerEvent::Added { name: self.0.into() }])
        }
    }
}

/// Two versions later: the name in two parts, then a country; and a note that needed no version.
#[derive(Event, Serialize, Deserialize)]
#[event(topic = "customers.events")]
enum CustomerEvent {
    #[event(name = "CustomerAdded", version = 3)]
    Added {
        first: String,
        last: String,
        country: String,
        #[serde(default)]
        note: Option<String>,
    },
}

#[derive(Default, Clone)]
struct Customer {
    last: String,
}

impl Aggregate for Customer {
    const TYPE: &'static str = "customer";
    type Event = CustomerEvent;
    fn apply(&mut self, CustomerEvent::Added { last, .. }: &CustomerEvent) {
        self.last.clone_from(last);
    }
}

#[derive(ReadModel, Clone)]
#[read_model(table = "customers")]
struct Row {
    #[column(key)]
    id: String,
    full: String,
}

impl Fold for Row {
    type Events = CustomerEvent;
    fn fold(_: Option<Self>, event: &Envelope<CustomerEvent>) -> Option<Self> {
        let CustomerEvent::Added { first, last, country, note } = &event.event;
        assert!(note.is_none());
        Some(Self { id: event.aggregate_id.clone(), full: format!("{first}|{last}|{country}") })
    }
}

struct Greeter;

impl Handler for Greeter {
    type Events = CustomerEvent;
    async fn handle(&self, event: &Envelope<CustomerEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let CustomerEvent::Added { first, .. } = &event.event;
        assert_eq!(event.schema_version, 1, "the version that the producer wrote");
        tx.sql("INSERT INTO greeted (who) VALUES ($1)", params![first]).await?;
        Ok(())
    }
}

fn split_name(mut event: serde_json::Value) -> Result<serde_json::Value, factstream::decode::UpcastFailure> {
    let name = event["name"].as_str().ok_or("a customer without a name")?.to_owned();
    let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
    event["first"] = json!(first);
    event["last"] = json!(last);
    Ok(event)
}

#[expect(clippy::unnecessary_wraps, reason = "an upcaster may fail")]
fn add_country(mut event: serde_json::Value) -> Result<serde_json::Value, factstream::decode::UpcastFailure> {
    event["country"] = json!("AT");
    Ok(event)
}

#[tokio::test]
async fn what_an_older_build_stored_is_lifted_for_aggregates_read_models_and_consumers() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("customers.db").display());
    let old = App::builder(&url).aggregate::<first::Customer>().open().await.unwrap();
    old.execute("c-1", first::Add("Ada Byron")).await.unwrap();
    drop(old);

    let builder = || {
        App::builder(&url)
            .aggregate::<Customer>()
            .read_model::<Row>()
            .consumer(Consumer::new("greeter").handler(Greeter))
    };
    let missing = Upcasters::new().step("CustomerAdded", 1, 2, split_name);
    let error = builder().upcasters(missing).open().await.err().unwrap().to_string();
    assert!(error.contains("CustomerAdded") && error.contains("from version 2 to 3"), "{error}");

    let upcasters =
        Upcasters::new().step("CustomerAdded", 1, 2, split_name).step("CustomerAdded", 2, 3, add_country);
    let app = builder().upcasters(upcasters).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.sql("CREATE TABLE greeted (who TEXT)", params![]).await.unwrap();
    tx.commit().await.unwrap();
    let running = app.start().await.unwrap();
    assert_eq!(app.load::<Customer>("c-1").await.unwrap().0.last, "Byron");
    let row = app.read::<Row>().wait_for(1).get("c-1").await.unwrap().unwrap();
    assert_eq!(row.full, "Ada|Byron|AT");
    let deadline = Instant::now() + Duration::from_secs(10);
    while app.store().query("SELECT who FROM greeted WHERE who = 'Ada'", params![]).await.unwrap().is_empty()
    {
        assert!(Instant::now() < deadline, "the consumer is not given the lifted event");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(running.stop(Duration::from_secs(10)).await);
    // The log keeps what was written, to the letter.
    assert_eq!(app.read_log(0, 1).await.unwrap()[0].data, r#"{"name":"Ada Byron"}"#);
}
