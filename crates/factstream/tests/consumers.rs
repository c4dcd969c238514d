//! Consumers on the embedded broker and a real SQLite file: G6 to G9 and G12.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Do, OrderEvent, Refused, Shop, eventually, quick, settled, stop};
use factstream::{
    Aggregate, App, Caller, Command, Consumer, Envelope, Event, Failure, Handler, Tx, UnknownTypes, message,
    params,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writes down what it is given, in its transaction; fails as told.
#[derive(Clone, Default)]
struct Ledger {
    broken: Arc<AtomicBool>,
    tried: Arc<Mutex<Vec<String>>>,
}

const CREATE_LEDGER: &str = "CREATE TABLE ledger (entry BIGINT, aggregate TEXT, what TEXT)";

fn what(event: &OrderEvent) -> String {
    match event {
        OrderEvent::Created { amount, .. } => format!("created {amount}"),
        OrderEvent::Noted { text } => text.clone(),
        OrderEvent::Closed => "closed".to_owned(),
    }
}

impl Handler for Ledger {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let what = what(&event.event);
        self.tried.lock().unwrap().push(format!("{} {what}", event.aggregate_id));
        let sql = "INSERT INTO ledger (entry, aggregate, what) SELECT coalesce(max(entry), 0) + 1, $1, $2 FROM ledger";
        tx.execute(sql, params![&event.aggregate_id, &what]).await?;
        let broken = self.broken.load(Ordering::SeqCst);
        match what.as_str() {
            "permanent" if broken => Err(Failure::permanent("it can never work")),
            "transient" if broken => Err("it does not work now".into()),
            "panic" if broken => panic!("told to"),
            "slow" if broken => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

async fn ledger(app: &App, aggregate: &str) -> Vec<String> {
    let sql = "SELECT what FROM ledger WHERE aggregate = $1 ORDER BY entry";
    let rows = app.store().query(sql, params![aggregate]).await.unwrap();
    rows.iter().map(|row| row.get("what").unwrap()).collect()
}

async fn with_ledger(shop: &Shop, consumer: Consumer) -> App {
    let app = shop.builder().consumer(consumer).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.execute(CREATE_LEDGER, params![]).await.unwrap();
    tx.commit().await.unwrap();
    app
}

fn broken() -> Ledger {
    let ledger = Ledger::default();
    ledger.broken.store(true, Ordering::SeqCst);
    ledger
}

async fn note(app: &App, id: &str, text: &str) {
    app.execute(id, Do::Note(text.into())).await.unwrap();
}

#[tokio::test]
async fn every_event_is_handled_once_although_the_topic_carries_it_twice() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    for n in 0..50 {
        note(&app, &format!("o-{}", n % 5), &format!("{n}")).await;
    }
    // A producer that publishes everything a second time, as a relay does after a crash.
    let again: Vec<_> = app.log(0, 100).await.unwrap();
    let again = again.iter().filter_map(|event| message::Message::of(event).unwrap()).collect::<Vec<_>>();
    app.broker().publish(again.clone()).await.unwrap();
    let running = app.start().await.unwrap();
    app.broker().publish(again).await.unwrap();
    settled(&app).await;
    for o in 0..5 {
        let wanted: Vec<String> = (0..50).filter(|n| n % 5 == o).map(|n| n.to_string()).collect();
        assert_eq!(ledger(&app, &format!("o-{o}")).await, wanted);
    }
    stop(running).await;
}

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
    eventually("it was tried some times", || async { app.status().await.unwrap().handlers[0].attempts >= 3 })
        .await;
    assert_eq!(ledger(&app, "bad").await, ["before"], "what is behind waits");
    let status = app.status().await.unwrap();
    assert_eq!((status.handlers[0].retrying, status.handlers[0].parked), (1, 1));
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
async fn a_permanent_failure_is_a_dead_letter_at_once_and_a_redrive_goes_through_the_key_in_order() {
    let shop = Shop::new();
    let handler = broken();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(handler.clone()).retry(quick(5))).await;
    let running = app.start().await.unwrap();
    for text in ["1", "permanent", "3", "4"] {
        note(&app, "bad", text).await;
    }
    settled(&app).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].attempts, letters[0].parked_behind), (1, 2));
    let letter = app.dead_letters().show(letters[0].id).await.unwrap();
    assert_eq!(letter.summary.reason.as_deref(), Some("it can never work"));
    assert_eq!(letter.history.len(), 1);
    assert_eq!(letter.parked.len(), 2);
    let value = r#"{"aggregate_id":"bad","text":"permanent"}"#;
    assert_eq!(letter.value, Some(factstream::dead_letters::Bytes::Text(value.into())));
    assert_eq!(ledger(&app, "bad").await, ["1"]);

    // Behind the dead letter, also what comes later waits; a redrive that fails again changes nothing of that.
    note(&app, "bad", "5").await;
    app.dead_letters().redrive(letter.summary.id).await.unwrap();
    eventually("it died again", || async {
        app.dead_letters().show(letter.summary.id).await.unwrap().history.len() == 3
    })
    .await;
    assert_eq!(ledger(&app, "bad").await, ["1"]);

    handler.broken.store(false, Ordering::SeqCst);
    assert_eq!(app.dead_letters().redrive_all(Some("ledger")).await.unwrap(), 1);
    eventually("the key flows", || async { ledger(&app, "bad").await == ["1", "permanent", "3", "4", "5"] })
        .await;
    note(&app, "bad", "6").await;
    eventually("and goes on", || async { ledger(&app, "bad").await.len() == 6 }).await;
    let letter = app.dead_letters().show(letter.summary.id).await.unwrap();
    let actions: Vec<&str> = letter.history.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["attempt", "redrive", "attempt", "redrive", "handled"]);
    assert_eq!(letter.summary.state, "handled");
    let error = app.dead_letters().redrive(letter.summary.id).await.unwrap_err();
    assert!(error.to_string().contains("handled already"), "{error}");
    stop(running).await;
}

#[tokio::test]
async fn a_dead_letter_can_be_edited_or_discarded_and_both_are_on_record() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(broken()).retry(quick(1))).await;
    let running = app.start().await.unwrap();
    for id in ["a", "b"] {
        note(&app, id, "permanent").await;
        note(&app, id, "behind").await;
    }
    settled(&app).await;
    let letters = app.dead_letters().list(Some("ledger"), false, 0).await.unwrap();
    let of = |key: &str| letters.iter().find(|letter| letter.key == key).unwrap().id;
    let (a, b) = (of("a"), of("b"));
    for nonsense in ["", "[]", "{", "null"] {
        assert!(app.dead_letters().edit(a, nonsense).await.is_err(), "{nonsense}");
    }
    app.dead_letters().edit(a, r#"{"text":"mended"}"#).await.unwrap();
    eventually("edited", || async { ledger(&app, "a").await == ["mended", "behind"] }).await;
    assert!(app.dead_letters().discard(b, " ").await.is_err());
    app.dead_letters().discard(b, "a test order").await.unwrap();
    eventually("discarded", || async { ledger(&app, "b").await == ["behind"] }).await;
    let shown = app.dead_letters().show(b).await.unwrap();
    assert_eq!(shown.summary.state, "discarded");
    assert_eq!(shown.history.last().unwrap().detail["reason"], "a test order");
    let shown = app.dead_letters().show(a).await.unwrap();
    let edit = shown.history.iter().find(|entry| entry.action == "edit").unwrap();
    assert!(edit.detail["before"]["text"].as_str().unwrap().contains("permanent"));
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    let error = app.dead_letters().show(999).await.unwrap_err();
    assert!(error.to_string().contains("dead letter 999"), "{error}");
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
        tx.execute("INSERT INTO children (parent) VALUES ($1)", params![parent]).await?;
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
        tx.execute(sql, params![]).await.unwrap();
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
            let handler = app.status().await.unwrap().handlers.remove(0);
            (handler.retrying, handler.dead_letters, handler.parked) == (1, 1, 1)
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

#[tokio::test]
async fn what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_the_partition_goes_on() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let send = |key: &str, value: &[u8], headers: Vec<(String, Vec<u8>)>| {
        let message = message::Message {
            topic: "orders.events".into(),
            key: Some(key.into()),
            value: Some(value.to_vec()),
            headers,
            timestamp: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        app.broker().publish(vec![message])
    };
    let noted = || vec![header("event_type", b"OrderNoted")];
    send("k1", b"{\"text\":\"x\"}", vec![]).await.unwrap();
    send("k2", b"not json", noted()).await.unwrap();
    send("k3", &[0xff, 0xfe], noted()).await.unwrap();
    send("k4", b"{\"text\":\"x\"}", [noted(), vec![header("schema_version", b"7")]].concat()).await.unwrap();
    send("k5", b"{\"text\":\"x\"}", [noted(), vec![header("timestamp", b"soon")]].concat()).await.unwrap();
    send("k6", b"{\"text\":\"x\"}", vec![header("event_type", b"OrderNoted"), header("source", &[0xff])])
        .await
        .unwrap();
    send("k7", b"{\"text\":\"x\"}", vec![header("event_type", b"NobodyKnows")]).await.unwrap();
    send("k8", b"{\"text\":\"fine\"}", noted()).await.unwrap();
    settled(&app).await;
    assert_eq!(ledger(&app, "k8").await, ["fine"]);
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let mut keys: Vec<&str> = letters.iter().map(|letter| letter.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["k1", "k2", "k3", "k4", "k5", "k6"], "the unknown type is skipped and counted");
    assert_eq!(app.status().await.unwrap().handlers[0].skipped, 1);
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
    let message = message::Message {
        topic: "orders.events".into(),
        key: Some("k".into()),
        value: Some(b"{}".to_vec()),
        headers: vec![("event_type".into(), b"NobodyKnows".to_vec())],
        timestamp: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    app.broker().publish(vec![message]).await.unwrap();
    eventually("a letter", || async { app.dead_letters().list(None, false, 0).await.unwrap().len() == 1 })
        .await;
    stop(running).await;
}

#[derive(Event, Serialize, Deserialize, Debug)]
#[event(topic = "bills.events")]
enum BillEvent {
    #[event(name = "BillPaid")]
    Paid { receipt: String },
}

#[derive(Default, Clone)]
struct Bill {
    paid: bool,
}

impl Aggregate for Bill {
    const CATEGORY: &'static str = "bill";
    type Event = BillEvent;

    fn apply(&mut self, _: &BillEvent) {
        self.paid = true;
    }
}

struct Pay(String);

impl Command<Bill> for Pay {
    type Error = Refused;

    fn decide(&self, bill: &Bill) -> Result<Vec<BillEvent>, Refused> {
        match bill.paid {
            true => Err(Refused("paid twice")),
            false => Ok(vec![BillEvent::Paid { receipt: self.0.clone() }]),
        }
    }
}

/// Asks a till that is slow and fails every third time.
#[derive(Clone, Default)]
struct Till {
    calls: Arc<AtomicU32>,
    at_once: Arc<AtomicU32>,
    most_at_once: Arc<AtomicU32>,
}

impl Caller for Till {
    type Events = OrderEvent;
    type Outcome = Option<String>;

    async fn call(&self, event: &Envelope<OrderEvent>) -> Result<Option<String>, Failure> {
        let OrderEvent::Created { .. } = &event.event else { return Ok(None) };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        match self.calls.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => Err("the till is out of paper".into()),
            _ => Ok(Some(format!("receipt of {}", event.event_id))),
        }
    }

    async fn handle(
        &self,
        event: &Envelope<OrderEvent>,
        outcome: &Option<String>,
        tx: &mut Tx,
    ) -> Result<(), Failure> {
        if let Some(receipt) = outcome {
            tx.command(&event.aggregate_id, Pay(receipt.clone())).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_caller_asks_outside_in_parallel_and_records_each_outcome_once_with_its_cause() {
    let shop = Shop::new();
    let till = Till::default();
    let consumer = Consumer::new("till").caller(till.clone()).concurrency(8).retry(quick(50));
    let app = shop.builder().aggregate::<Bill>().consumer(consumer).open().await.unwrap();
    let running = app.start().await.unwrap();
    for n in 0..60 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
        app.execute(format!("o-{n}"), Do::Close).await.unwrap();
    }
    settled(&app).await;
    let events = app.log(0, 10_000).await.unwrap();
    let created =
        |id: &str| events.iter().find(|e| e.aggregate_id == id && e.event_type == "OrderCreated").unwrap();
    let bills: Vec<_> = events.iter().filter(|event| event.event_type == "BillPaid").collect();
    assert_eq!(bills.len(), 60);
    for bill in bills {
        let (cause, envelope) = (created(&bill.aggregate_id), bill.envelope().unwrap());
        assert_eq!(envelope.causation_id, Some(cause.event_id.to_string()));
        assert_eq!(envelope.correlation_id, cause.envelope().unwrap().correlation_id);
        assert!(bill.data.contains(&cause.event_id.to_string()), "its own event's outcome");
    }
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    assert!(till.most_at_once.load(Ordering::SeqCst) > 1, "calls of different keys run in parallel");
    assert!(till.most_at_once.load(Ordering::SeqCst) <= 8);
    stop(running).await;
}

#[derive(Event, Serialize, Deserialize)]
enum Secret {
    #[event(name = "SecretKept", private)]
    Kept,
}

struct Nosy;

impl Handler for Nosy {
    type Events = Secret;

    async fn handle(&self, _: &Envelope<Secret>, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn wrong_wiring_is_refused_at_start_with_advice() {
    let shop = Shop::new();
    let open = |consumer| shop.builder().consumer(consumer).open();
    let error = open(Consumer::new("nosy").handler(Nosy)).await.err().unwrap().to_string();
    assert!(error.contains("SecretKept") && error.contains("private"), "{error}");
    let twice = Consumer::new("twice").handler(Ledger::default()).handler(Ledger::default());
    let error = open(twice).await.err().unwrap().to_string();
    assert!(error.contains("two handlers for OrderCreated"), "{error}");
    let error = open(Consumer::new("empty")).await.err().unwrap().to_string();
    assert!(error.contains("empty has no handler"), "{error}");
}

#[tokio::test]
async fn of_two_applications_on_one_file_one_handles_and_the_other_takes_over() {
    let shop = Shop::new();
    let (one, other) = (Ledger::default(), Ledger::default());
    let app_one = with_ledger(&shop, Consumer::new("ledger").handler(one.clone())).await;
    let app_other =
        shop.builder().consumer(Consumer::new("ledger").handler(other.clone())).open().await.unwrap();
    let running_one = app_one.start().await.unwrap();
    note(&app_one, "o", "1").await;
    settled(&app_one).await;
    let running_other = app_other.start().await.unwrap();
    note(&app_other, "o", "2").await;
    eventually("the first one goes on", || async { one.tried.lock().unwrap().len() == 2 }).await;
    assert!(other.tried.lock().unwrap().is_empty());
    eventually("the other one stands by", || async {
        serde_json::to_string(&app_other.status().await.unwrap()).unwrap().contains("standby")
    })
    .await;
    stop(running_one).await;
    note(&app_other, "o", "3").await;
    eventually("the other one takes over", || async { ledger(&app_other, "o").await == ["1", "2", "3"] })
        .await;
    stop(running_other).await;
}
