//! Stores that cannot be used, and a second process: clear errors, and nothing lost.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "bad_stores/read_only.rs"]
mod read_only;

use factstream_tests::client::{Client, order};
use factstream_tests::process::{Server, run};
use factstream_tests::{eventually, ledger};
use std::path::Path;

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

#[test]
fn a_store_that_cannot_be_used_ends_serve_with_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("text.db"), "a shopping list, and no database at all. ".repeat(200)).unwrap();
    rusqlite::Connection::open(at("foreign.db"))
        .unwrap()
        .execute_batch("CREATE TABLE customers (id TEXT)")
        .unwrap();
    Server::start(&url(&at("newer.db")), &[]).stop();
    let newer = rusqlite::Connection::open(at("newer.db")).unwrap();
    newer.execute("INSERT INTO fs_migrations VALUES ('framework', 99, '2030-01-01')", []).unwrap();
    drop(newer);
    for (store, words) in [
        (url(&at("text.db")), "not a SQLite database"),
        (url(&at("foreign.db")), "another application's database"),
        (url(&at("newer.db")), "newer factstream"),
        (url(dir.path()), "folder"),
        (url(&at("no/folder/orders.db")), "does not exist"),
        ("mysql://localhost/orders".to_owned(), "sqlite://"),
        ("sqlite::memory:".to_owned(), "name a file"),
    ] {
        let output = run(&["serve", "--store", &store, "--listen", "127.0.0.1:0"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words), "{store}: {error}");
    }
}

#[test]
fn of_two_processes_on_one_file_both_take_orders_and_one_handles_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.db");
    let first = Server::start(&url(&path), &[]);
    let address = first.url.trim_start_matches("http://");
    let output = run(&["serve", "--store", &url(&path), "--listen", address]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(address), "the same port: {error}");

    let second = Server::start(&url(&path), &[]);
    let (one, other) = (Client::new(&first.url), Client::new(&second.url));
    let stock = serde_json::json!({ "sku": "SKU-1", "quantity": 1_000 });
    assert!(one.post("/inventory", &stock, None).unwrap().status < 300);
    for n in 0..20 {
        let client = if n % 2 == 0 { &one } else { &other };
        let placed = client.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap();
        assert_eq!(placed.status, 201, "{placed:?}");
        let (id, position) =
            (placed.body["order_id"].as_str().unwrap(), placed.body["position"].as_u64().unwrap());
        let row = other.get(&format!("/orders/{id}?after={position}")).unwrap();
        assert_eq!(row.status, 200, "the other process reads it too: {row:?}");
    }
    assert!(other.status().to_string().contains("standby"));
    first.kill();
    assert_eq!(other.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap().status, 201);
    eventually("the second process takes over", || other.is_settled());
    assert!(second.stop().success());
    ledger::check(&url(&path));
    let events = ledger::events(&url(&path));
    assert_eq!(ledger::of_type(&events, "OrderShipped").len(), 21);
}

#[test]
fn events_that_this_build_does_not_know_are_told_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.db");
    let server = Server::start(&url(&path), &[]);
    let client = Client::new(&server.url);
    let stock = serde_json::json!({ "sku": "SKU-1", "quantity": 1_000 });
    client.post("/inventory", &stock, None).unwrap();
    let placed = client.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap();
    let id = placed.body["order_id"].as_str().unwrap().to_owned();
    eventually("it settles", || client.is_settled());
    assert!(server.stop().success());

    // As a newer build would have left them: a type and a version that this one does not know.
    let file = rusqlite::Connection::open(&path).unwrap();
    let insert = |event_type: &str, version: u32, stream: &str| {
        let sql = "INSERT INTO events SELECT max(position) + 1, 'order', ?3, 1 + (SELECT count(*) FROM events WHERE aggregate_id = ?3),
                   'id-' || hex(randomblob(4)), ?1, ?2, '{}', '{\"source\":\"newer\",\"topic\":\"orders.events\"}', '2026-01-01T00:00:00.000000Z'
                   FROM events";
        let sql = sql.replace(
            "'id-' || hex(randomblob(4))",
            "lower(hex(randomblob(4)) || '-0000-7000-8000-' || hex(randomblob(6)))",
        );
        file.execute(&sql, rusqlite::params![event_type, version, stream]).unwrap();
    };
    insert("OrderGiftWrapped", 1, "gift");
    insert("OrderCreated", 7, "future");
    drop(file);

    let server = Server::start(&url(&path), &[]);
    let client = Client::new(&server.url);
    let next = client.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap();
    assert_eq!(next.status, 201);
    eventually("it settles", || client.is_settled());
    let letters = run(&["deadletters", "list", "--json", "--store", &url(&path)]);
    let letters: serde_json::Value = serde_json::from_slice(&letters.stdout).unwrap();
    let letters = letters.as_array().unwrap();
    assert!(letters.iter().all(|letter| letter["key"] == "future"), "{letters:?}");
    assert!(letters.iter().any(|letter| letter["handler"] == "order_projections"), "{letters:?}");
    let reason = letters[0]["reason"].as_str().unwrap();
    assert!(reason.contains("OrderCreated") && reason.contains('7'), "{reason}");
    let ship = serde_json::json!({ "tracking_number": "TN-1" });
    let refused = client.post("/orders/future/ship", &ship, None).unwrap();
    assert!(refused.status >= 500 && refused.content_type.contains("problem"), "{refused:?}");
    assert_eq!(client.get(&format!("/orders/{id}")).unwrap().body["status"].as_str(), Some("SHIPPED"));
    assert!(server.stop().success());
}
