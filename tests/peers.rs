//! The other side of the wire: programs that know the message contract and nothing of factstream.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::Client;
use factstream_tests::kafka_tools::Tools;
use factstream_tests::pair::{Pair, Place};
use factstream_tests::{eventually, ledger, peers};
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
