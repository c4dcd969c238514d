//! Bad input over HTTP: a clear problem+json each time, and nothing stored.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::{Answer, Client, order};
use factstream_tests::eventually;
use factstream_tests::process::Server;
use serde_json::{Value, json};

/// A server on a fresh store.
fn start(dir: &tempfile::TempDir) -> (Server, Client) {
    let store = format!("sqlite://{}", dir.path().join("orders.db").display());
    let server = Server::start(&store, &["--auto-ship", "false"]);
    let client = Client::new(&server.url);
    (server, client)
}

fn is_problem(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert!(answer.content_type.starts_with("application/problem+json"), "{what}: {answer:?}");
    for field in ["type", "title", "detail"] {
        assert!(
            answer.body[field].as_str().is_some_and(|text| !text.is_empty()),
            "{what}: no {field}: {answer:?}"
        );
    }
    assert_eq!(answer.body["status"].as_u64(), Some(u64::from(status)), "{what}");
}

fn with(field: &str, value: Value) -> Value {
    let mut body = order("c-1", "SKU-1", 1);
    body[field] = value;
    body
}

fn item(field: &str, value: Value) -> Value {
    let mut body = order("c-1", "SKU-1", 1);
    body["items"][0][field] = value;
    body
}

#[test]
fn bad_bodies_are_refused_with_advice_and_nothing_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(&dir);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("empty body", vec![], 400),
        ("not JSON", b"hello".to_vec(), 400),
        ("half JSON", b"{\"customer_id\":".to_vec(), 400),
        ("invalid UTF-8", b"{\"customer_id\":\"\xff\xfe\",\"items\":[]}".to_vec(), 400),
        ("an array", b"[]".to_vec(), 400),
        ("deep JSON", [vec![b'['; 100_000], vec![b']'; 100_000]].concat(), 400),
        ("unknown field", with("discount", json!(5)).to_string().into_bytes(), 400),
        ("unknown field of an item", item("colour", json!("red")).to_string().into_bytes(), 400),
        ("missing field", json!({ "items": [] }).to_string().into_bytes(), 400),
        ("wrong type", with("customer_id", json!(5)).to_string().into_bytes(), 400),
        ("empty customer", with("customer_id", json!("")).to_string().into_bytes(), 400),
        ("NUL in the customer", with("customer_id", json!("a\u{0}b")).to_string().into_bytes(), 400),
        ("long customer", with("customer_id", json!("x".repeat(300))).to_string().into_bytes(), 400),
        ("empty SKU", item("sku", json!("")).to_string().into_bytes(), 400),
        ("line break in the SKU", item("sku", json!("a\nb")).to_string().into_bytes(), 400),
        ("no items", with("items", json!([])).to_string().into_bytes(), 422),
        ("zero quantity", item("quantity", json!(0)).to_string().into_bytes(), 422),
        ("negative quantity", item("quantity", json!(-1)).to_string().into_bytes(), 400),
        ("fractional quantity", item("quantity", json!(1.5)).to_string().into_bytes(), 400),
        ("overflowing quantity", item("quantity", json!(5_000_000_000_u64)).to_string().into_bytes(), 400),
        ("price beyond all counting", item("price_cents", json!(1e30)).to_string().into_bytes(), 400),
        ("10 MB", with("customer_id", json!("x".repeat(10_000_000))).to_string().into_bytes(), 413),
    ];
    for (what, body, status) in cases {
        let answer = client.post_raw("/orders", "application/json", &body, None).unwrap();
        is_problem(what, &answer, status);
    }
    let mut two = order("c-1", "SKU-1", 2);
    two["items"][0]["price_cents"] = json!(u64::MAX);
    is_problem("overflowing total of two", &client.post("/orders", &two, None).unwrap(), 422);
    let good = order("c-1", "SKU-1", 1).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let answer = client.post_raw("/orders", content_type, good.as_bytes(), None).unwrap();
        is_problem(content_type, &answer, 415);
    }
    for key in ["", &"k".repeat(256)] {
        let answer = client.post_raw("/orders", "application/json", good.as_bytes(), Some(key)).unwrap();
        is_problem("bad key", &answer, 400);
    }
    for (what, body, status) in [
        ("zero stock", json!({ "sku": "SKU-1", "quantity": 0 }), 422),
        ("negative stock", json!({ "sku": "SKU-1", "quantity": -5 }), 400),
        ("empty SKU", json!({ "sku": "", "quantity": 1 }), 400),
        ("unknown field", json!({ "sku": "SKU-1", "quantity": 1, "colour": "red" }), 400),
    ] {
        is_problem(what, &client.post("/inventory", &body, None).unwrap(), status);
    }
    assert_eq!(client.status()["position"].as_u64(), Some(0), "something was stored");
}

#[test]
fn bad_paths_and_queries_are_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(&dir);
    for (path, status) in [
        ("/nothing/here", 404),
        ("/orders/unknown", 404),
        ("/orders/unknown/events", 404),
        ("/orders/unknown/at/1", 404),
        ("/orders/unknown/at/first", 400),
        ("/orders/%00", 400),
        ("/orders/%ff", 400),
        ("/orders?status=LOST", 400),
        ("/orders?limit=0", 400),
        ("/orders?limit=many", 400),
        ("/orders?cursor=nonsense", 400),
        ("/orders?colour=red", 400),
        ("/orders/unknown?after=soon", 400),
        ("/inventory/unknown", 404),
    ] {
        is_problem(path, &client.get(path).unwrap(), status);
    }
    is_problem("wrong method", &client.post("/status", &json!({}), None).unwrap(), 405);
    let ship = json!({ "tracking_number": "TN-1" });
    is_problem("ship unknown", &client.post("/orders/unknown/ship", &ship, None).unwrap(), 404);
}

#[test]
fn an_order_lives_as_the_api_says() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(&dir);
    let stock = client.post("/inventory", &json!({ "sku": "SKU-1", "quantity": 10 }), None).unwrap();
    assert!(stock.status < 300, "{stock:?}");
    let body = order("c-1", "SKU-1", 2);
    let created = client.post("/orders", &body, Some("k-1")).unwrap();
    assert_eq!((created.status, created.body["version"].as_u64()), (201, Some(1)));
    let id = created.body["order_id"].as_str().unwrap().to_owned();
    let again = client.post("/orders", &body, Some("k-1")).unwrap();
    assert_eq!((again.status, &again.body), (201, &created.body));
    is_problem("key reused", &client.post("/orders", &order("c-2", "SKU-1", 1), Some("k-1")).unwrap(), 422);
    let goods = |sku: &str| json!({ "sku": sku, "quantity": 1 });
    assert_eq!(client.post("/inventory", &goods("SKU-8"), Some("k-2")).unwrap().status, 200);
    is_problem("key of another SKU", &client.post("/inventory", &goods("SKU-9"), Some("k-2")).unwrap(), 422);
    let position = created.body["position"].as_u64().unwrap();
    let row = client.get(&format!("/orders/{id}?after={position}")).unwrap();
    assert_eq!((row.status, row.body["status"].as_str()), (200, Some("PENDING")));

    let ship = json!({ "tracking_number": "TN-1" });
    let shipped = client.post(&format!("/orders/{id}/ship"), &ship, None).unwrap();
    assert_eq!(shipped.status, 200);
    let conflict = client.post(&format!("/orders/{id}/ship"), &ship, None).unwrap();
    is_problem("shipped twice", &conflict, 409);
    assert!(conflict.body["detail"].as_str().unwrap().contains("Cannot ship order in SHIPPED status"));
    let position = shipped.body["position"].as_u64().unwrap();
    let row = client.get(&format!("/orders/{id}?after={position}")).unwrap();
    assert_eq!(
        (row.body["status"].as_str(), row.body["tracking_number"].as_str()),
        (Some("SHIPPED"), Some("TN-1"))
    );

    let then = client.get(&format!("/orders/{id}/at/1")).unwrap();
    assert!(then.body.to_string().contains("PENDING"), "{then:?}");
    let events = client.get(&format!("/orders/{id}/events")).unwrap();
    for word in
        ["OrderCreated", "OrderShipped", "correlation_id", "causation_id", "event_id", "source", "timestamp"]
    {
        assert!(events.body.to_string().contains(word), "{word}: {events:?}");
    }
    is_problem("too far", &client.get(&format!("/orders/{id}?after=999999")).unwrap(), 504);
    eventually("stock is reserved", || {
        client.get("/inventory/SKU-1").unwrap().body["available"].as_u64() == Some(8)
    });
    for n in 0..5 {
        assert_eq!(client.post("/orders", &order(&format!("c-{n}"), "SKU-1", 1), None).unwrap().status, 201);
    }
    eventually("all rows are there", || client.is_settled());
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let page = client.get(&format!("/orders?status=PENDING&limit=2{cursor}")).unwrap();
        assert_eq!(page.status, 200, "{page:?}");
        let orders = page.body.as_object().unwrap().values().find_map(Value::as_array).unwrap().len();
        assert!(orders <= 2);
        seen += orders;
        let next = ["next", "next_cursor", "cursor"].iter().find_map(|name| page.body[*name].as_str());
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 5);
    for probe in ["/livez", "/readyz"] {
        assert_eq!(client.get(probe).unwrap().status, 200);
    }
}

/// Fails unless the answer is a 412 that names the current version.
fn has_changed(what: &str, answer: &Answer, current: u64) {
    is_problem(what, answer, 412);
    assert_eq!(answer.body["current_version"], current, "{what}: {answer:?}");
    assert_eq!(answer.headers["etag"], format!("\"{current}\""), "{what}");
}

#[test]
fn what_has_changed_since_it_was_read_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(&dir);
    let goods = json!({ "sku": "SKU-1", "quantity": 10 });
    assert_eq!(client.post("/inventory", &goods, None).unwrap().headers["etag"], "\"1\"");
    assert_eq!(client.get("/inventory/SKU-1").unwrap().headers["etag"], "\"1\"");
    let stocked = client.post_with("/inventory", &goods, &[("if-match", "\"1\"")]).unwrap();
    assert_eq!((stocked.status, stocked.headers["etag"].as_str()), (200, "\"2\""));
    has_changed("seen before", &client.post_with("/inventory", &goods, &[("if-match", "\"1\"")]).unwrap(), 2);

    let id = client.place("SKU-1", 1).remove(0);
    eventually("it is paid and reserved", || client.is_settled());
    let (order, ship) = (format!("/orders/{id}"), format!("/orders/{id}/ship"));
    let read = client.get(&order).unwrap();
    let (seen, version) = (read.headers["etag"].clone(), read.body["version"].as_u64().unwrap());
    assert_eq!(
        (seen.clone(), version),
        (format!("\"{version}\""), 3),
        "payment and stock count, too: {read:?}"
    );
    let parcel = |number: &str| json!({ "tracking_number": number });
    let sent =
        |tag: &str, number: &str| client.post_with(&ship, &parcel(number), &[("if-match", tag)]).unwrap();
    for stale in ["\"1\"", "\"2\", W/\"3\"", "\"unknown\""] {
        has_changed(stale, &sent(stale, "TN-0"), version);
    }
    for garbage in ["3", "\"3", "\"3\" \"4\"", "*, \"3\"", ""] {
        is_problem(garbage, &sent(garbage, "TN-0"), 400);
    }
    let missing = client.post_with("/orders/unknown/ship", &parcel("TN-0"), &[("if-match", "*")]).unwrap();
    is_problem("nothing to match", &missing, 412);
    assert!(missing.body["current_version"] == 0 && !missing.headers.contains_key("etag"), "{missing:?}");

    let shipped = sent(&format!("\"1\", {seen}"), "TN-1");
    assert_eq!((shipped.status, shipped.headers["etag"].as_str()), (200, "\"4\""));
    has_changed("shipped by another", &sent(&seen, "TN-2"), 4);
    is_problem("it exists, and is shipped", &sent("*", "TN-2"), 409);
    let row = client.get(&format!("{order}?after={}", shipped.body["position"])).unwrap();
    assert_eq!((row.headers["etag"].as_str(), row.body["tracking_number"].as_str()), ("\"4\"", Some("TN-1")));
}

#[test]
fn a_request_says_who_asks_and_all_that_follows_from_it_says_so_too() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, client) = start(&dir);
    client.stock("SKU-1", 10);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let asked = [("x-correlation-id", "request-1"), ("traceparent", trace), ("x-forwarded-user", "user-7")];
    let placed = client.post_with("/orders", &order("c-1", "SKU-1", 1), &asked).unwrap();
    let refused = client.get_with("/orders/unknown", &asked).unwrap();
    let nowhere = client.get_with("/nothing/here", &asked).unwrap();
    for answer in [&placed, &refused, &nowhere] {
        for (name, value) in asked {
            assert_eq!(answer.headers[name], value, "{answer:?}");
        }
    }
    eventually("it is paid and reserved", || client.is_settled());
    let id = placed.body["order_id"].as_str().unwrap();
    let trail = client.get(&format!("/orders/{id}/events")).unwrap().body;
    let events = trail["events"].as_array().unwrap();
    assert_eq!(events.len(), 3, "placed, and what the other services answered: {trail}");
    for event in events {
        assert_eq!((&event["correlation_id"], &event["actor"]), (&json!("request-1"), &json!("user-7")));
        assert_eq!(event["traceparent"], trace);
    }

    let broken = [("traceparent", "00-broken")];
    let placed = client.post_with("/orders", &order("c-1", "SKU-1", 1), &broken).unwrap();
    assert_eq!(placed.status, 201, "a broken trace begins a new one: {placed:?}");
    assert!(!placed.headers.contains_key("traceparent") && placed.headers.contains_key("x-correlation-id"));
    let long = "x".repeat(256);
    for bad in
        [&[("x-correlation-id", long.as_str())][..], &[("x-forwarded-user", "a"), ("x-forwarded-user", "b")]]
    {
        is_problem("bad context", &client.post_with("/orders", &order("c-1", "SKU-1", 1), bad).unwrap(), 400);
    }
}
