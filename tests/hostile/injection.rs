//! SQL in every name and id that a client or a person at the command line can write.

use crate::fragments::{Schema, fragments, in_url, is_id, is_still, schema};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use factstream_tests::client::{Answer, Client, order};
use factstream_tests::pair::{Pair, Place};
use factstream_tests::process::run;
use factstream_tests::{eventually, ledger};
use orders::app::{Config, open};
use orders::order::{CreateOrder, Item};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Nothing of it becomes a statement: in bodies, headers, paths, queries, ids and what follows from them.
fn what_clients_write_is_kept_to_the_byte_or_refused(place: &Place) {
    let store = place.store.as_str();
    let server = place.serve(&["--auto-ship", "false"]);
    let client = Client::new(&server.url);
    let before = schema(store);
    let texts = fragments();
    let placed: Vec<String> = texts.iter().filter_map(|text| in_bodies(&client, text)).collect();
    let ids: Vec<&String> = texts.iter().filter(|text| is_id(text)).collect();
    assert_eq!(placed.len(), ids.len());
    for text in &texts {
        in_paths_and_queries(&client, &placed[0], text);
    }
    as_ids_of_orders(place, &texts);
    eventually("all of it is handled", || client.is_settled());

    for (text, order_id) in ids.iter().zip(&placed) {
        let row = client.get(&format!("/orders/{order_id}")).unwrap();
        assert_eq!(row.body["customer_id"], **text);
        assert_eq!(row.body["items"][0]["sku"], **text);
        for order_id in [order_id, &in_url(text)] {
            let tracking = json!({ "tracking_number": text });
            let shipped = client.post(&format!("/orders/{order_id}/ship"), &tracking, None).unwrap();
            assert_eq!(shipped.status, 200, "{text:?}: {shipped:?}");
            let row = client.get(&format!("/orders/{order_id}?after={}", shipped.body["position"])).unwrap();
            assert_eq!(row.body["tracking_number"], **text, "{row:?}");
            let trail = client.get(&format!("/orders/{order_id}/events")).unwrap();
            let events = trail.body["events"].as_array().unwrap();
            assert_eq!(events[0]["data"]["customer_id"], **text, "{trail:?}");
            assert_eq!(events[events.len() - 1]["data"]["tracking_number"], **text, "{trail:?}");
        }
        let row = client.get(&format!("/orders/{}", in_url(text))).unwrap();
        assert_eq!(row.body["order_id"], **text);
        let then = client.get(&format!("/orders/{}/at/1", in_url(text))).unwrap();
        assert_eq!((then.status, &then.body["state"]["customer_id"]), (200, &json!(text)), "{then:?}");
    }
    eventually("all of it is handled", || client.is_settled());
    assert!(server.stop().success());
    let events = ledger::events(store);
    assert_eq!(ledger::of_type(&events, "OrderShipped").len(), 2 * ids.len());
    goes_on(place, &before);
}

/// As SKU, customer and key; the order that came of it.
fn in_bodies(client: &Client, text: &str) -> Option<String> {
    let stocked = client.post("/inventory", &json!({ "sku": text, "quantity": 1_000 }), None).unwrap();
    let body = order(text, text, 1);
    if !is_id(text) {
        refused(&stocked, text);
        refused(&client.post("/orders", &body, None).unwrap(), text);
        refused(&client.post("/orders", &order("c-1", text, 1), None).unwrap(), text);
        // Some of them are no header at all.
        if let Ok(answer) = client.post("/orders", &order("c-1", "SKU-1", 1), Some(text)) {
            refused(&answer, text);
        }
        return None;
    }
    assert_eq!((stocked.status, &stocked.body["sku"]), (200, &json!(text)), "{stocked:?}");
    let level = client.get(&format!("/inventory/{}", in_url(text))).unwrap();
    assert_eq!((level.status, &level.body["sku"]), (200, &json!(text)), "{level:?}");
    // HTTP trims what stands around a header's value, and knows no letters but those of ASCII.
    let is_key = text.is_ascii() && text.trim() == text;
    let key = is_key.then_some(text);
    if !is_key && !text.is_ascii() {
        refused(&client.post("/orders", &body, Some(text)).unwrap(), text);
    }
    let created = client.post("/orders", &body, key).unwrap();
    assert_eq!(created.status, 201, "{text:?}: {created:?}");
    if is_key {
        assert_eq!(client.post("/orders", &body, key).unwrap().body, created.body, "{text:?}");
        let other = client.post("/orders", &order("c-1", text, 1), key).unwrap();
        assert_eq!(other.status, 422, "{text:?}: {other:?}");
    }
    Some(created.body["order_id"].as_str().unwrap().to_owned())
}

fn in_paths_and_queries(client: &Client, known: &str, text: &str) {
    let written = in_url(text);
    let ship = json!({ "tracking_number": "TN-1" });
    let paths = ["", "/events", "/at/1"].map(|rest| format!("/orders/{written}{rest}"));
    let answers = paths.iter().map(|path| client.get(path).unwrap());
    let shipped = client.post(&format!("/orders/{written}/ship"), &ship, None).unwrap();
    for answer in answers.chain([shipped]) {
        assert_eq!(answer.status, if is_id(text) { 404 } else { 400 }, "{text:?}: {answer:?}");
        problem(&answer, text);
    }
    let cursor = |column: &str, value: &str, key: &str| {
        let cursor = json!({ "table": "order_projections", "column": column, "value": value, "key": key });
        BASE64.encode(cursor.to_string())
    };
    let other_table = |table: &str| {
        BASE64.encode(json!({ "table": table, "column": "order_id", "value": "a", "key": "a" }).to_string())
    };
    for path in [
        format!("/orders/{known}/at/{written}"),
        format!("/orders/{known}?after={written}"),
        format!("/orders?status={written}"),
        format!("/orders?limit={written}"),
        format!("/orders?cursor={written}"),
        format!("/orders?{written}=1"),
        format!("/orders?cursor={}", BASE64.encode(text)),
        format!("/orders?cursor={}", cursor(text, "a", "a")),
        format!("/orders?cursor={}", other_table(text)),
    ] {
        refused(&client.get(&path).unwrap(), text);
    }
    // A cursor that might have been given out: rows from there on, or refused.
    let page = client.get(&format!("/orders?limit=1000&cursor={}", cursor("order_id", text, text))).unwrap();
    match page.status {
        200 => {
            let rows = page.body["orders"].as_array().unwrap();
            assert!(rows.iter().all(|row| row["order_id"].as_str() > Some(text)), "{text:?}: {page:?}");
        }
        _ => refused(&page, text),
    }
}

/// As the id of an aggregate and of what follows from it: the key of messages, inbox, reservations, payments.
fn as_ids_of_orders(place: &Place, texts: &[String]) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let app = open(Config { store: place.store.clone(), ..Config::default() }).await.unwrap();
        for text in texts {
            let good = if is_id(text) { text } else { "c-1" };
            let items = vec![Item { sku: good.to_owned(), quantity: 1, price_cents: 1 }];
            let create = CreateOrder { customer_id: good.to_owned(), items, due_seconds: None };
            match app.execute(text.as_str(), create).key_for(format!("{good:.200}."), text).await {
                Ok(done) => assert!(is_id(text) && done.aggregate_id == *text, "{text:?}"),
                Err(error) => assert!(!is_id(text) && error.to_string().contains("id"), "{text:?}: {error}"),
            }
        }
    });
}

/// The reasons, edits and discards of dead letters, and every argument of the command line.
fn what_people_write_is_kept_to_the_byte_or_refused(place: &Place) {
    let store = place.store.as_str();
    let server = place.serve(&["--auto-ship", "false"]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 1_000);
    let before = schema(store);
    let texts = fragments();
    // Nobody stocks them: the reservation of each dies, and the reason names the SKU.
    let skus: Vec<&String> = texts.iter().filter(|text| is_id(text)).collect();
    let place_order = |sku: &&String| client.post("/orders", &order("c-1", sku, 1), None).unwrap();
    let orders = skus.iter().map(place_order).map(|placed| placed.body["order_id"].clone());
    let orders: Vec<Value> = orders.collect();
    eventually("all of it is handled", || client.is_settled());
    let told = |args: &[&str]| -> Value {
        let output = place.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", error_of(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let letters = told(&["deadletters", "list"]);
    let letters = letters.as_array().unwrap();
    assert_eq!(letters.len(), skus.len());
    let of = |order_id: &Value| {
        letters.iter().find(|letter| letter["key"] == *order_id).unwrap()["id"].to_string()
    };
    let letters: Vec<String> = orders.iter().map(of).collect();
    for ((at, id), text) in letters.iter().enumerate().zip(&skus) {
        let shown = told(&["deadletters", "show", id]);
        let reason = shown["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("unknown SKU {text}")), "{text:?}: {reason}");
        if at % 2 == 0 {
            // A reason is free text: longer than any id, and of more than one line.
            let reason = format!("{text}\n{}", "'".repeat(300));
            told(&["deadletters", "discard", id, &format!("--reason={reason}")]);
            let shown = told(&["deadletters", "show", id]);
            let (state, history) = (&shown["state"], shown["history"].as_array().unwrap());
            assert_eq!(state, "discarded");
            assert_eq!(history[history.len() - 1]["detail"]["reason"], reason);
        } else {
            let items = json!([{ "sku": "SKU-1", "quantity": 1, "price_cents": 1 }]);
            let data = json!({ "customer_id": text, "items": items, "total_cents": 1 }).to_string();
            told(&["deadletters", "edit", id, "--data", &data]);
            assert_eq!(told(&["deadletters", "show", id])["value"]["text"], data);
        }
    }
    // Arguments of a process cannot hold a NUL.
    for text in texts.iter().filter(|text| !text.contains('\0')) {
        let handler = format!("--handler={text}");
        assert_eq!(told(&["deadletters", "list", &handler]), json!([]), "{text:?}");
        assert_eq!(told(&["deadletters", "redrive-all", &handler])["redriven"], 0, "{text:?}");
        let rebuilt = run(&["projections", "--store", store, "rebuild", "--", text]);
        fails(&rebuilt, "there are: order_projections", text);
        let last = letters[0].as_str();
        fails(&place.run(&["deadletters", "edit", last, &format!("--data={text}")]), "JSON object", text);
    }
    eventually("all of it is handled", || client.is_settled());
    assert_eq!(told(&["deadletters", "list"]), json!([]));
    assert!(server.stop().success());
    goes_on(place, &before);
}

/// Keys of every command, tracking numbers, levels of stock, and heads of requests as no careful client writes them.
fn what_is_written_by_hand_takes_effect_once_or_is_refused(place: &Place) {
    let server = place.serve(&["--auto-ship", "false"]);
    let client = Client::new(&server.url);
    let address = server.url.trim_start_matches("http://");
    client.stock("SKU-1", 1_000);
    let before = schema(&place.store);
    let texts = fragments();
    let placed = client.place("SKU-1", texts.len());
    for (text, order_id) in texts.iter().zip(&placed) {
        let ship = format!("/orders/{order_id}/ship");
        if !is_id(text) {
            refused(&client.get(&format!("/inventory/{}", in_url(text))).unwrap(), text);
            refused(&client.post(&ship, &json!({ "tracking_number": text }), None).unwrap(), text);
        }
        let level = || client.get("/inventory/SKU-1").unwrap().body["version"].as_u64().unwrap();
        eventually("its stock is reserved", || client.is_settled());
        let goods = json!({ "sku": "SKU-1", "quantity": 1 }).to_string();
        let (begin, stocked) = (level(), by_hand(address, "POST", "/inventory", text, &goods));
        // HTTP trims what stands around a header's value.
        let is_key = |key: &str| key.is_ascii() && is_id(key.trim());
        assert_eq!(stocked.status, if is_key(text) { 200 } else { 400 }, "{text:?}: {stocked:?}");
        if is_key(text) {
            assert_eq!(by_hand(address, "POST", "/inventory", text, &goods).body, stocked.body, "{text:?}");
        }
        assert_eq!(level(), begin + u64::from(is_key(text)), "{text:?}");
        // A key is one for all commands.
        let (key, tracking) = (format!("{text}!"), json!({ "tracking_number": "TN-1" }).to_string());
        let shipped = by_hand(address, "POST", &ship, &key, &tracking);
        assert_eq!(shipped.status, if is_key(&key) { 200 } else { 400 }, "{text:?}: {shipped:?}");
        if is_key(&key) {
            assert_eq!(by_hand(address, "POST", &ship, &key, &tracking).body, shipped.body, "{text:?}");
            let other = json!({ "tracking_number": "TN-2" }).to_string();
            assert_eq!(by_hand(address, "POST", &ship, &key, &other).status, 422, "{text:?}");
        }
    }
    let position = client.status()["position"].clone();
    for text in &texts {
        for path in [format!("/orders/{text}"), format!("/inventory/{text}"), format!("/{text}")] {
            let answer = by_hand(address, "GET", &path, "k", "");
            assert!((400..500).contains(&answer.status), "{path:?}: {answer:?}");
        }
        let answer = by_hand(address, text, "/orders", "k", "{}");
        assert!((400..500).contains(&answer.status), "{text:?}: {answer:?}");
    }
    assert_eq!(client.status()["position"], position, "something was stored");

    as_ids_of_orders(place, &texts);
    eventually("all of it is handled", || client.is_settled());
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/orders?limit=3{next}")).unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        let rows = page.body["orders"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["order_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    let wanted: BTreeSet<&String> = placed.iter().chain(texts.iter().filter(|text| is_id(text))).collect();
    assert_eq!(seen.len(), wanted.len(), "{seen:?}");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>(), wanted);
    assert!(server.stop().success());
    goes_on(place, &before);
}

/// What comes back when the method, the path and the key are written into the request as they are. It must be an answer.
fn by_hand(address: &str, method: &str, path: &str, key: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nidempotency-key: {key}\r\nconnection: close");
    let length = body.len();
    let rest = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(format!("{head}\r\n{rest}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer); // may be reset behind the answer, when it did not want the rest
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{method:?} {path:?} {key:?}: {read:?} {answer:?}"));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let (content_type, headers) = (String::new(), HashMap::new());
    Answer { status, content_type, headers, body: serde_json::from_str(body).unwrap_or_default() }
}

/// The store is whole, and an order like any other goes through.
fn goes_on(place: &Place, before: &Schema) {
    let server = place.serve(&[]);
    let client = Client::new(&server.url);
    client.stock("SKU-normal", 5);
    let order_id = client.place("SKU-normal", 1).remove(0);
    let row = || client.get(&format!("/orders/{order_id}")).unwrap();
    eventually("a normal order is shipped", || row().body["status"] == "SHIPPED" && client.is_settled());
    assert_eq!(client.get("/inventory/SKU-normal").unwrap().body["available"], 4);
    assert!(server.stop().success());
    is_still(&place.store, before);
    ledger::check(&place.store);
}

macro_rules! on_both_stores {
    ($($test:ident),+) => {$(
        mod $test {
            use super::*;

            #[test]
            fn on_sqlite() {
                super::$test(&Place::new(Pair::SqliteEmbedded));
            }

            #[test]
            fn on_postgres() {
                super::$test(&Place::new(Pair::PostgresEmbedded));
            }
        }
    )+};
}
on_both_stores!(
    what_clients_write_is_kept_to_the_byte_or_refused,
    what_people_write_is_kept_to_the_byte_or_refused,
    what_is_written_by_hand_takes_effect_once_or_is_refused
);

#[test]
fn an_argument_that_makes_no_sense_ends_with_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", dir.path().join("orders.db").display());
    for text in fragments().iter().filter(|text| !text.contains('\0')) {
        for action in ["show", "redrive", "edit", "discard"] {
            fails(&run(&["deadletters", "--store", &store, action, "--", text]), "invalid value", text);
        }
        let with = |name: &str| format!("--{name}={text}");
        for (args, words) in [
            (["serve", &with("service"), ""], "possible values"),
            (["serve", &with("auto-ship"), ""], "possible values"),
            (["serve", &with("gateway-failure-rate"), ""], "from 0.0"),
            (["demo", &with("orders"), ""], "invalid"),
            (["serve", &with("listen"), ""], "--listen HOST:PORT"),
            (["serve", "--listen=127.0.0.1:0", &with("store")], "sqlite://FILE"),
            (["topics", "check", &with("broker")], "kafka://"),
            (["topics", "check", &with("replication")], "invalid"),
        ] {
            let args: Vec<&str> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
            fails(&run(&args), words, text);
        }
        // No file is made of a typing mistake.
        let other = format!("sqlite://{}/{text}", dir.path().join("none").display());
        let output = run(&["projections", "list", "--store", &other]);
        assert!(!output.status.success() && !error_of(&output).is_empty(), "{text:?}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "files were made");
}

/// It ends with an error that has these words.
fn fails(output: &Output, words: &str, text: &str) {
    let error = error_of(output);
    assert!(!output.status.success() && error.contains(words), "{text:?}: {error}");
    assert!(!error.contains("panicked"), "{text:?}: {error}");
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(answer: &Answer, text: &str) {
    assert_eq!(answer.status, 400, "{text:?}: {answer:?}");
    problem(answer, text);
}

fn problem(answer: &Answer, text: &str) {
    assert!(answer.content_type.starts_with("application/problem+json"), "{text:?}: {answer:?}");
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    assert!(!detail.is_empty() && !detail.to_lowercase().contains("syntax error"), "{text:?}: {answer:?}");
}
