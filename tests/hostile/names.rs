//! SQL in the names that an application gives to its parts: whoever takes them from a configuration is safe, too.

use crate::fragments::{fragments, is_id, is_still, schema};
use factstream::message::{Headers, Message};
use factstream::sql::now;
use factstream::{
    App, Builder, Consumer, Envelope, Error, Failure, Handler, Projection, Projector, Rows, Tx, params,
};
use factstream_tests::ledger;
use factstream_tests::pair::Place;
use orders::app::{Config, builder};
use orders::facts::PaymentFact;
use orders::inventory::AddStock;
use orders::order::{CreateOrder, Item};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::block_in_place;

/// Dies of every event.
struct Dies;

impl Handler for Dies {
    type Events = PaymentFact;

    async fn handle(&self, _: &Envelope<PaymentFact>, _: &mut Tx) -> Result<(), Failure> {
        Err(Failure::permanent("it always does"))
    }
}

/// Notes the events that it sees.
struct Notes {
    name: String,
    table: String,
}

impl Projector for Notes {
    type Events = PaymentFact;

    async fn project(&self, event: &Envelope<PaymentFact>, tx: &mut Rows) -> Result<(), Failure> {
        let sql = format!("INSERT INTO {} (handler, event_id) VALUES ($1, $2)", tx.table(&self.table));
        tx.sql(&sql, params![&self.name, &event.event_id]).await?;
        Ok(())
    }
}

fn projection(name: &str, table: &str) -> Projection {
    let create = "CREATE TABLE {table} (handler TEXT NOT NULL, event_id TEXT NOT NULL, PRIMARY KEY (handler, event_id))";
    let notes = Notes { name: name.to_owned(), table: table.to_owned() };
    Projection::new(name, notes).table(table, create, &["CREATE INDEX {table}_event ON {table} (event_id)"])
}

fn app(place: &Place) -> Builder {
    let config = Config { store: place.store.clone(), broker: place.broker.clone(), ..Config::default() };
    builder(&config)
}

/// Consumers and projections of such names handle, die, are redriven and rebuilt under them; the rest is refused.
fn a_name_is_used_to_the_byte_or_refused(place: &Place) {
    let texts = fragments();
    let names: Vec<&String> = texts.iter().filter(|text| is_id(text) && is_id(&format!("{text}!"))).collect();
    Runtime::new().unwrap().block_on(async {
        let plain = app(place).open().await.unwrap();
        let before = block_in_place(|| schema(&place.store));
        for text in &texts {
            are_refused(place, &plain, text).await;
        }
        block_in_place(|| is_still(&place.store, &before));

        let mut wired = app(place).service(names[0].as_str()).formerly("orders");
        for (at, name) in names.iter().enumerate() {
            let table = format!("notes_{at}");
            wired = wired.consumer(Consumer::new(name.as_str()).handler(Dies));
            wired = wired.projection(projection(&format!("{name}!"), &table));
        }
        let app = wired.open().await.unwrap();
        let with_notes = block_in_place(|| schema(&place.store));
        let running = app.start().await.unwrap();
        let sku = "SKU-1".to_owned();
        app.execute(&sku, AddStock { sku: sku.clone(), quantity: 9 }).await.unwrap();
        let items = vec![Item { sku, quantity: 1, price_cents: 5 }];
        app.execute("o-1", CreateOrder { customer_id: "c-1".into(), items, due_seconds: None })
            .await
            .unwrap();
        for (at, name) in names.iter().enumerate() {
            check_name(&app, place, at, name).await;
        }
        app.dead_letters().redrive_all(None).await.unwrap();
        assert!(running.stop(Duration::from_secs(20)).await);
        block_in_place(|| is_still(&place.store, &with_notes));
    });
    ledger::check(&place.store);
    let sources = ledger::query(&place.store, "SELECT metadata FROM events WHERE position = 1");
    let metadata: serde_json::Value = serde_json::from_str(sources[0][0].as_deref().unwrap()).unwrap();
    assert_eq!(metadata["source"], *names[0]);
}

/// What the two handlers of a name have done, seen by their names.
async fn check_name(app: &App, place: &Place, at: usize, name: &str) {
    let sql = format!("SELECT handler FROM notes_{at}");
    let noted = || block_in_place(|| ledger::query(&place.store, &sql));
    let projection = format!("{name}!");
    eventually(name, || async { !noted().is_empty() }).await;
    assert_eq!(noted(), [[Some(projection.clone())]]);
    let letters = || async { app.dead_letters().list(Some(name), false, 0).await.unwrap() };
    eventually(name, || async { letters().await.len() == 1 }).await;
    let letter = letters().await.remove(0);
    assert_eq!(letter.handler, name);
    assert_eq!(app.dead_letters().redrive_all(Some(name)).await.unwrap(), 1);
    eventually("it dies again", || async { letters().await.len() == 1 }).await;
    app.dead_letters().discard(letter.id, name).await.unwrap();
    assert!(letters().await.is_empty());

    app.rebuild(&projection, |_| {}).await.unwrap();
    assert_eq!(noted(), [[Some(projection.clone())]]);
    let status = app.status().await;
    for wanted in [name, &projection] {
        assert!(status.handlers.iter().any(|handler| handler.name == wanted), "{wanted:?}: {status:?}");
    }
}

/// Tables, services, handlers and topics of a name that cannot be one.
async fn are_refused(place: &Place, plain: &App, text: &str) {
    // A name of a table is written into statements: those of all these that read like one are factstream's own.
    let open = app(place).projection(projection("notes", text)).open();
    told(open.await, &["cannot be a table's name"], text);
    if !is_id(text) {
        told(app(place).service(text).open().await, &["service name"], text);
        told(app(place).projection(projection(text, "notes")).open().await, &["handler name"], text);
        told(app(place).consumer(Consumer::new(text).handler(Dies)).open().await, &["handler name"], text);
    }
    let error = plain.rebuild(text, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::UnknownProjection { .. }), "{text:?}: {error}");
    // A topic that nobody declared.
    let (key, value) = (Some(b"k".to_vec()), Some(b"{}".to_vec()));
    let message = Message { topic: text.to_owned(), key, value, headers: Headers::new(), timestamp: now() };
    let error = plain.broker().publish(vec![message]).await.unwrap_err();
    assert!(error.acknowledged == 0 && error.to_string().contains("topic"), "{text:?}: {error}");
}

fn told(opened: Result<App, Error>, words: &[&str], text: &str) {
    let error = opened.err().unwrap_or_else(|| panic!("{text:?} is taken")).to_string();
    assert!(words.iter().all(|words| error.contains(words)), "{text:?}: {error}");
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "this did not come about: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

factstream_tests::on_each_pair!(a_name_is_used_to_the_byte_or_refused);
