//! The other side of the wire: programs that know the message contract and nothing of factstream.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream::{Aggregate, App, Event, Topic};
use factstream_tests::client::Client;
use factstream_tests::kafka_tools::Tools;
use factstream_tests::pair::{Pair, Place};
use factstream_tests::{eventually, ledger, peers};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const TOPICS: [&str; 3] = ["orders.events", "payments.events", "inventory.events"];

#[test]
fn a_payment_service_in_python_with_duplicates_is_handled_once_and_plain_readers_understand_all() {
    let place = Place::new(Pair::PostgresKafka);
    let servers = [place.serve(&["--service", "order"]), place.serve(&["--service", "inventory"])];
    let (orders, inventory) = (Client::new(&servers[0].url), Client::new(&servers[1].url));
    inventory.stock("SKU-1", 1_000);
    let placed: BTreeSet<String> = orders.place("SKU-1", 30).into_iter().collect();
    let answered = peers::run("payment_service.py", &place.broker, &["30"]);
    assert_eq!(answered.trim(), "30");
    eventually("all are shipped", || {
        orders.is_settled()
            && ledger::of_type(&ledger::events(&place.store), "OrderShipped").len() == placed.len()
    });
    let events = ledger::events(&place.store);
    let mut confirmed: BTreeMap<&str, u32> = BTreeMap::new();
    for event in events.iter().filter(|event| event.event_type == "OrderShipped") {
        *confirmed.entry(&event.aggregate_id).or_default() += 1;
    }
    assert!(confirmed.values().all(|times| *times == 1), "each was shipped once: {confirmed:?}");
    let payment = ledger::query(
        &place.store,
        "SELECT count(*) FROM fs_inbox WHERE handler = 'order' AND event_id IN \
         (SELECT event_id FROM fs_inbox GROUP BY event_id, handler HAVING count(*) > 1)",
    );
    assert_eq!(payment[0][0].as_deref(), Some("0"), "no event has two marks of one handler");

    read_by_others(&place);
    for server in servers {
        assert!(server.stop().success());
    }
}

/// Every public event of the log is on its topic, and a reader in Python and Kafka's own in Java understand it.
fn read_by_others(place: &Place) {
    let sql = "SELECT event_id, event_type, aggregate_id, metadata FROM events ORDER BY position";
    let mut public: BTreeMap<String, (String, String)> = BTreeMap::new();
    for row in ledger::query(&place.store, sql) {
        let [event_id, event_type, aggregate_id, metadata] =
            <[_; 4]>::try_from(row).unwrap().map(Option::unwrap);
        let metadata: Value = serde_json::from_str(&metadata).unwrap();
        if metadata["topic"].is_string() {
            public.insert(event_id, (event_type, aggregate_id));
        }
    }
    assert!(public.len() >= 60, "{}", public.len());
    let printed = peers::run("reader.py", &place.broker, &TOPICS);
    let mut read = BTreeSet::new();
    for line in printed.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let (id, key) = (event["event_id"].as_str().unwrap(), event["key"].as_str().unwrap());
        assert_eq!(event["understood"], true, "{event}");
        assert_eq!(event["missing"], json!([]), "{event}");
        assert_eq!(event["aggregate_id"], key, "{event}");
        if let Some((event_type, aggregate_id)) = public.get(id) {
            assert_eq!(
                (event["event_type"].as_str(), key),
                (Some(event_type.as_str()), aggregate_id.as_str())
            );
            read.insert(id.to_owned());
        }
    }
    assert_eq!(read.len(), public.len(), "every public event was read");

    let printed = TOPICS.map(|topic| Tools::new(&place.broker).consume(topic)).concat();
    for (id, (event_type, aggregate_id)) in &public {
        let line = printed.iter().find(|line| line.contains(&format!("event_id:{id}")));
        let line = line.unwrap_or_else(|| panic!("Kafka's console consumer did not print {id}"));
        assert!(line.contains(&format!("event_type:{event_type}")), "{line}");
        assert!(line.contains(&format!("\t{aggregate_id}\t{{\"aggregate_id\":")), "{line}");
    }
}

#[test]
fn orders_of_another_team_that_tell_no_total_are_charged_in_every_codec_of_kafka() {
    const OF_EACH: usize = 10;
    let place = Place::new(Pair::SqliteKafka);
    let server = place.serve(&["--service", "payment"]);
    peers::run("order_producer.py", &place.broker, &[&OF_EACH.to_string()]);
    let charged = || ledger::of_type(&ledger::events(&place.store), "PaymentProcessed").len();
    eventually("all are charged", || charged() == 5 * OF_EACH);
    let sql = "SELECT event_data FROM events WHERE event_type = 'PaymentProcessed'";
    for row in ledger::query(&place.store, sql) {
        let payment: Value = serde_json::from_str(row[0].as_deref().unwrap()).unwrap();
        assert_eq!(payment["amount_cents"], 2 * 1_999 + 50, "{payment}");
    }
    assert_eq!(
        ledger::query(&place.store, "SELECT count(*) FROM fs_dead_letters")[0][0].as_deref(),
        Some("0")
    );
    assert!(server.stop().success());
}

#[derive(Event, Serialize, Deserialize)]
#[event(topic = "notes.events")]
enum NoteEvent {
    #[event(name = "Noted")]
    Noted { text: String },
}

#[derive(Default, Clone)]
struct Note;

impl Aggregate for Note {
    const TYPE: &'static str = "note";
    type Event = NoteEvent;
    fn apply(&mut self, _: &NoteEvent) {}
}

/// Notes of an application on a topic that takes only small messages.
async fn notes(app: &App, id: &str, texts: &[&str]) {
    let mut tx = app.begin().await.unwrap();
    let events: Vec<NoteEvent> =
        texts.iter().map(|text| NoteEvent::Noted { text: (*text).to_owned() }).collect();
    tx.append::<Note>(id, &events).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_for_kafka_stops_its_key_and_no_other() {
    let place = Place::new(Pair::SqliteKafka);
    let narrow = Topic::new("notes.events", 1).setting("max.message.bytes", 20_000);
    let app = App::builder(&place.store).broker(&place.broker).aggregate::<Note>().topic(narrow);
    let app = app.open().await.unwrap();
    let large = "x".repeat(100_000);
    notes(&app, "a", &["1", &large, "3"]).await;
    notes(&app, "b", &["1"]).await;
    let running = app.start().await.unwrap();
    let waits = || async { app.status().await.relay.parked == Some(1) };
    within("it is set aside", waits).await;
    notes(&app, "a", &["4"]).await;
    notes(&app, "b", &["2"]).await;
    within("later ones, too", || async { app.status().await.relay.parked == Some(2) }).await;
    assert_eq!(
        (published(&place, 'a'), published(&place, 'b')),
        (vec!["1".into()], vec!["1".into(), "2".into()])
    );
    let letter = app.dead_letters().list(None, false, 0).await.unwrap().remove(0);
    assert!(letter.reason.unwrap().contains("too large"), "the reason tells");
    app.dead_letters().edit(letter.id, r#"{"text":"2, in short"}"#).await.unwrap();
    within("all is published", || async { app.status().await.relay.parked == Some(0) }).await;
    assert_eq!(published(&place, 'a'), ["1", "2, in short", "3", "4"]);
    assert!(running.stop(std::time::Duration::from_secs(10)).await);
}

/// The texts of a key's notes on their topic, in order; what was published again right away is told once.
fn published(place: &Place, key: char) -> Vec<String> {
    let lines = Tools::new(&place.broker).consume("notes.events");
    let of_key = lines.iter().filter(|line| line.contains(&format!("\t{key}\t")));
    let mut texts: Vec<String> = of_key
        .map(|line| {
            let event: Value = serde_json::from_str(line.rsplit('\t').next().unwrap()).unwrap();
            event["text"].as_str().unwrap().to_owned()
        })
        .collect();
    texts.dedup();
    texts
}

async fn within<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "this did not come about: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn what_a_bad_producer_sends_ends_as_dead_letters_with_its_bytes_and_the_partitions_go_on() {
    let place = Place::new(Pair::SqliteKafka);
    let server = place.serve(&["--mirror-dead-letters"]);
    let client = Client::new(&server.url);
    peers::run("bad_producer.py", &place.broker, &["payments.events"]);
    let letters = || -> Vec<Value> {
        let output = place.run(&["deadletters", "list", "--handler", "order", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    // What is well formed but for an order that does not exist is refused by the order: a dead letter, too.
    let wanted = [
        ("bad-timestamp", "timestamp"),
        ("from-the-future", "99"),
        ("header-not-utf8", "header \"source\" is not UTF-8"),
        ("large", ""),
        ("no-headers", "no event_type header"),
        ("no-key", ""),
        ("not-json", ""),
        ("not-utf8", "value is not UTF-8"),
        ("odd-id", ""),
        ("tombstone", "tombstone"),
    ];
    eventually("all of it has ended somewhere", || {
        letters().len() == wanted.len() + 1 && client.is_settled()
    });
    let letters = letters();
    for (key, reason) in wanted {
        let letter = letters.iter().find(|letter| letter["key"] == key);
        let letter = letter.unwrap_or_else(|| panic!("no dead letter of {key} in {letters:?}"));
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{key}: {letter}");
    }
    let keyless = letters.iter().find(|letter| letter["reason"].as_str().unwrap().contains("neither a key"));
    assert!(keyless.is_some(), "{letters:?}");
    assert!(!letters.iter().any(|letter| letter["key"] == "unknown-type"), "the policy is to skip and count");

    // Bytes intact.
    let shown = |key: &str| -> Value {
        let id = letters.iter().find(|letter| letter["key"] == key).unwrap()["id"].to_string();
        serde_json::from_slice(&place.run(&["deadletters", "show", &id, "--json"]).stdout).unwrap()
    };
    assert_eq!(shown("not-json")["value"]["text"], "this is not JSON");
    assert_eq!(shown("not-utf8")["value"]["base64"], "//4AgA==");
    assert_eq!(shown("tombstone")["value"], Value::Null);
    assert_eq!(shown("large")["value"]["text"].as_str().unwrap().len(), 900_003);

    // The partitions go on: an order is paid for and shipped.
    client.stock("SKU-1", 100);
    let ids = client.place("SKU-1", 20);
    eventually("they are shipped", || {
        ids.iter().all(|id| client.get(&format!("/orders/{id}")).unwrap().body["status"] == "SHIPPED")
    });

    // Each is mirrored, with the names that Spring Kafka gives its headers, bytes intact.
    eventually("all are mirrored", || {
        let left = ledger::query(&place.store, "SELECT count(*) FROM fs_dead_letter_mirror");
        left[0][0].as_deref() == Some("0")
    });
    let mirrored = Tools::new(&place.broker).consume("payments.events-dlt");
    let of = |key: &str| {
        let key = format!("\t{key}\t");
        let mut records = mirrored.iter();
        records.find(|line| line.contains("consumer-group:order,") && line.contains(&key)).unwrap()
    };
    for words in [
        "kafka_dlt-original-topic:payments.events",
        "kafka_dlt-original-partition:",
        "kafka_dlt-original-offset:",
        "kafka_dlt-original-consumer-group:order",
        "kafka_dlt-exception-message:",
        "kafka_dlt-exception-stacktrace:",
        "\tnot-json\tthis is not JSON",
        "event_type:PaymentProcessed",
    ] {
        assert!(of("not-json").contains(words), "{words} in {}", of("not-json"));
    }
    assert!(of("tombstone").ends_with("\tnull"), "{}", of("tombstone"));
    assert!(server.stop().success());
}
