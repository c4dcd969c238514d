//! The process of an order, and the timers, over HTTP.

use factstream_tests::client::{Client, order};
use factstream_tests::eventually;
use factstream_tests::pair::{Pair, Place};
use serde_json::{Value, json};

fn place(client: &Client, customer: &str) -> String {
    let placed = client.post("/orders", &order(customer, "SKU-1", 1), None).unwrap();
    placed.body["order_id"].as_str().unwrap_or_else(|| panic!("{placed:?}")).to_owned()
}

fn process(client: &Client, order: &str) -> Value {
    client.get(&format!("/orders/{order}/process")).unwrap().body
}

fn waiting(client: &Client) -> Vec<(String, String)> {
    let timers = client.get("/timers").unwrap().body;
    assert_eq!(timers["more"], json!(false));
    let text = |timer: &Value, name: &str| timer[name].as_str().unwrap_or_default().to_owned();
    timers["timers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|timer| (text(timer, "handler"), text(timer, "key")))
        .collect()
}

#[test]
fn the_process_of_an_order_and_what_waits_can_be_seen() {
    let at = Place::new(Pair::SqliteEmbedded);
    let server = at.serve(&[]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 10);
    let done = place(&client, "c-1");
    eventually("its process ends", || process(&client, &done)["status"] == "ended");
    assert!(server.stop().success());
    let server = at.serve(&["--due-within", "1"]);
    let client = Client::new(&server.url);
    let overdue = place(&client, "slow-10");
    eventually("the timer of what is not paid waits", || {
        let of_process = ("fulfilment".to_owned(), overdue.clone());
        process(&client, &overdue)["timers"][0]["name"] == "due" && waiting(&client).contains(&of_process)
            || process(&client, &overdue)["state"]["cancelled"].is_string()
    });
    eventually("what was paid late is given back", || process(&client, &overdue)["status"] == "ended");
    let seen = process(&client, &done);
    assert_eq!((&seen["id"], &seen["state"]["payment"]), (&json!(done), &json!("paid")), "{seen}");
    assert_eq!((&seen["blocked"], &seen["timers"]), (&json!(false), &json!([])), "{seen}");
    let seen = process(&client, &overdue);
    let steps = seen["history"].as_array().unwrap();
    assert_eq!(steps[0]["acts"][0], json!({ "act": "timer", "name": "due", "due": "after 1s" }), "{seen}");
    assert!(steps.iter().any(|step| step["input"] == json!({ "input": "timer", "name": "due" })), "{seen}");
    assert_eq!(seen["state"]["cancelled"], json!("not paid in time"), "{seen}");
    eventually("only the nightly report waits", || {
        waiting(&client).iter().all(|(handler, _)| handler == "fs:scheduled-orders")
    });
    for (path, words) in
        [("/orders/nobody/process", "there is no order"), ("/reports/1999-01-01", "no report")]
    {
        let answer = client.get(path).unwrap();
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(answer.status == 404 && detail.contains(words), "{answer:?}");
    }
    assert!(server.stop().success());
}
