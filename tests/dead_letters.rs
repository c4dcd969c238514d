//! G8 and G9 with the real processes: an unknown SKU is a dead letter, what follows is parked, and a person mends it.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::{Client, order};
use factstream_tests::pair::Place;
use factstream_tests::process::run;
use factstream_tests::{eventually, ledger};
use serde_json::Value;

fn letters(store: &str, more: &[&str]) -> Value {
    let mut args = vec!["deadletters"];
    args.extend(more);
    args.extend(["--json", "--store", store]);
    let output = run(&args);
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn an_unknown_sku_waits_as_a_dead_letter_until_it_is_stocked_and_redriven(place: &Place) {
    let store = place.store.as_str();
    let server = place.serve(&[]);
    let client = Client::new(&server.url);
    client.post("/inventory", &serde_json::json!({ "sku": "SKU-1", "quantity": 100 }), None).unwrap();
    let place = |customer: &str, sku: &str| {
        let placed = client.post("/orders", &order(customer, sku, 2), None).unwrap();
        placed.body["order_id"].as_str().unwrap().to_owned()
    };
    // The declined one is cancelled, so that a second event of its key comes behind the dead letter.
    let (waiting, declined, good) =
        (place("c-1", "SKU-9"), place("declined-1", "SKU-9"), place("c-1", "SKU-1"));
    eventually("it settles", || client.is_settled());
    let status =
        |id: &str| client.get(&format!("/orders/{id}")).unwrap().body["status"].as_str().unwrap().to_owned();
    assert_eq!(
        (status(&waiting).as_str(), status(&declined).as_str(), status(&good).as_str()),
        ("PENDING", "CANCELLED", "SHIPPED")
    );

    let list = letters(store, &["list"]);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    let of = |key: &str| list.iter().find(|letter| letter["key"] == key).unwrap();
    assert_eq!(of(&declined)["parked_behind"], 1);
    let (waiting_id, declined_id) = (of(&waiting)["id"].to_string(), of(&declined)["id"].to_string());
    let shown = letters(store, &["show", &waiting_id]);
    assert!(shown["reason"].as_str().unwrap().contains("unknown SKU SKU-9"), "{shown}");
    assert!(
        shown["history"].as_array().unwrap().len() == 1 && shown["headers"].as_array().unwrap().len() > 5
    );

    // A redrive before it is mended dies again; then it is stocked, and both go through in order.
    letters(store, &["redrive", &waiting_id]);
    eventually("it died again", || {
        letters(store, &["show", &waiting_id])["history"].as_array().unwrap().len() == 3
    });
    client.post("/inventory", &serde_json::json!({ "sku": "SKU-9", "quantity": 5 }), None).unwrap();
    assert_eq!(letters(store, &["redrive-all"])["redriven"], 2);
    eventually("nothing waits", || {
        letters(store, &["list"]).as_array().unwrap().is_empty() && client.is_settled()
    });
    eventually("it is shipped", || status(&waiting) == "SHIPPED");
    // Reserved and given back for the cancelled one, taken for the other.
    assert_eq!(client.get("/inventory/SKU-9").unwrap().body["available"], 3);
    let history = letters(store, &["show", &declined_id])["history"].to_string();
    assert!(history.contains("redrive") && history.contains("handled"), "{history}");
    assert!(server.stop().success());
    ledger::check(store);
}

fn a_dead_letter_is_edited_or_discarded_and_what_makes_no_sense_is_refused(place: &Place) {
    let store = place.store.as_str();
    let server = place.serve(&[]);
    let client = Client::new(&server.url);
    client.post("/inventory", &serde_json::json!({ "sku": "SKU-1", "quantity": 100 }), None).unwrap();
    for _ in 0..2 {
        client.post("/orders", &order("c-1", "SKU-8", 1), None).unwrap();
    }
    eventually("both are dead", || {
        letters(store, &["list"]).as_array().unwrap().len() == 2 && client.is_settled()
    });
    let list = letters(store, &["list"]);
    let (one, other) = (list[0]["id"].to_string(), list[1]["id"].to_string());
    for bad in [
        vec!["show", "999"],
        vec!["redrive", "999"],
        vec!["edit", &one, "--data", "not json"],
        vec!["discard", &one, "--reason", " "],
    ] {
        let mut args = vec!["deadletters"];
        args.extend(&bad);
        args.extend(["--store", store]);
        let output = run(&args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains("dead letter"), "{bad:?}: {error}");
    }
    let shown = letters(store, &["show", &one]);
    let data = shown["value"]["text"].as_str().unwrap().replace("SKU-8", "SKU-1");
    letters(store, &["edit", &one, "--data", &data]);
    letters(store, &["discard", &other, "--reason", "a test order"]);
    eventually("nothing waits", || {
        letters(store, &["list"]).as_array().unwrap().is_empty() && client.is_settled()
    });
    assert_eq!(client.get("/inventory/SKU-1").unwrap().body["available"], 99);
    let shown = letters(store, &["show", &other]);
    assert!(shown["state"] == "discarded" && shown.to_string().contains("a test order"), "{shown}");
    let output = run(&["deadletters", "list", "--store", "sqlite://no-such-file.db"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no store"));
    assert!(server.stop().success());
}

factstream_tests::on_each_pair!(
    an_unknown_sku_waits_as_a_dead_letter_until_it_is_stocked_and_redriven,
    a_dead_letter_is_edited_or_discarded_and_what_makes_no_sense_is_refused,
);
