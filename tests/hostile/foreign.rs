//! SQL in every part of what a foreign producer may send: keys, values, event types, ids, names and values of headers.

use crate::fragments::{fragments, is_id, is_still, schema};
use factstream::App;
use factstream::message::{Headers, Message};
use factstream::sql::{format_timestamp, now};
use factstream_tests::client::Client;
use factstream_tests::pair::Place;
use factstream_tests::{eventually, ledger};
use orders::app::{Config, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::runtime::Runtime;

const TOPIC: &str = "payments.events";
const TYPE: &str = "PaymentProcessed";

/// What came of it is stored to the byte, as events or as dead letters.
fn what_others_send_is_kept_to_the_byte_or_refused(place: &Place) {
    let store = place.store.as_str();
    let server = place.serve(&["--auto-ship", "false", "--mirror-dead-letters"]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 1_000);
    let before = schema(store);
    let texts = fragments();
    let orders = client.place("SKU-1", texts.len());
    let messages = texts.iter().zip(&orders).enumerate().flat_map(|(n, (text, id))| sent(n, text, id));
    let runtime = Runtime::new().unwrap();
    let config = Config { store: place.store.clone(), broker: place.broker.clone(), ..Config::default() };
    let app = runtime.block_on(open(config)).unwrap();
    runtime.block_on(app.broker().publish(messages.collect())).unwrap();

    let wanted = 3 * texts.len() + texts.iter().filter(|text| !is_id(text)).count();
    let letters = || runtime.block_on(letters(&app));
    eventually("all of it is handled", || letters().len() == wanted && client.is_settled());

    let declined = declined(store);
    let letters = letters();
    for (n, (text, id)) in texts.iter().zip(&orders).enumerate() {
        let (data, metadata) = &declined[id];
        assert_eq!(data["reason"], *text);
        if is_id(text) {
            assert_eq!(metadata["causation_id"], *text);
        }
        if !text.contains('\0') {
            assert_eq!((&metadata["correlation_id"], &metadata["traceparent"]), (&json!(text), &json!(text)));
        }
        let of = |key: &str| letters.iter().find(|letter| letter["key"] == key);
        match of(text) {
            Some(letter) => assert_eq!(letter["record_key"]["text"], *text),
            None => assert!(!is_id(text), "{text:?} is no key of a dead letter"),
        }
        match of(&format!("type {n}")) {
            Some(letter) => {
                assert!(!is_id(text) && letter["reason"].to_string().contains("event_type"), "{letter}")
            }
            None => assert!(is_id(text), "{text:?} is skipped, as the policy says"),
        }
        assert_eq!(of(&format!("value {n}")).unwrap()["value"]["text"], *text);
        let header = json!([name_of_header(text), { "text": text }]);
        let letter = of(&format!("header {n}")).unwrap();
        assert!(letter["headers"].as_array().unwrap().contains(&header), "{letter}");
    }
    let unmirrored = || ledger::query(store, "SELECT count(*) FROM fs_dead_letter_mirror");
    eventually("all are mirrored", || unmirrored()[0][0].as_deref() == Some("0"));
    is_still(store, &before);
    assert!(server.stop().success());
    ledger::check(store);
}

/// One that takes effect, and four that die of one part of theirs each; the one of an unknown type is skipped.
fn sent(n: usize, text: &str, order_id: &str) -> Vec<Message> {
    let payment = |order_id: &str| {
        let declined =
            json!({ "order_id": order_id, "payment_id": text, "status": "DECLINED", "reason": text });
        declined.to_string()
    };
    let mut headers = vec![("event_type", TYPE), ("source", text), ("correlation_id", text)];
    headers.extend([("causation_id", text), ("aggregate_type", text), ("traceparent", text)]);
    headers.retain(|(_, value)| !value.contains('\0'));
    if is_id(text) {
        headers.push(("event_id", text));
    }
    let key = |what: &str| format!("{what} {n}");
    let name = name_of_header(text);
    vec![
        message(order_id, &payment(order_id), &headers),
        message(text, &payment(text), &[("event_type", TYPE)]),
        message(&key("type"), &payment("o-1"), &[("event_type", text)]),
        message(&key("value"), text, &[("event_type", TYPE)]),
        message(&key("header"), &payment("o-1"), &[(name.as_str(), text)]),
    ]
}

/// For Kafka, a header's name ends at a NUL.
fn name_of_header(text: &str) -> String {
    text.replace('\0', "")
}

fn message(key: &str, value: &str, headers: &[(&str, &str)]) -> Message {
    let mut headers: Headers = headers.iter().copied().collect();
    headers.push("timestamp", format_timestamp(now()));
    Message {
        topic: TOPIC.to_owned(),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers,
        timestamp: now(),
    }
}

/// The dead letters of the order service, with all that is known of them.
async fn letters(app: &App) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = app.dead_letters().list(Some("order"), false, after).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.id;
        for letter in &page {
            all.push(serde_json::to_value(app.dead_letters().show(letter.id).await.unwrap()).unwrap());
        }
    }
}

/// Of each order whose payment was declined, the event's data and metadata.
fn declined(store: &str) -> BTreeMap<String, (Value, Value)> {
    let sql =
        "SELECT aggregate_id, event_data, metadata FROM events WHERE event_type = 'OrderPaymentDeclined'";
    let json = |text: &Option<String>| serde_json::from_str(text.as_deref().unwrap()).unwrap();
    let rows = ledger::query(store, sql).into_iter();
    rows.map(|row| (row[0].clone().unwrap(), (json(&row[1]), json(&row[2])))).collect()
}

factstream_tests::on_each_pair!(what_others_send_is_kept_to_the_byte_or_refused);
