//! G14: `orders serve` is killed at random instants under load, again and again; nothing that was acknowledged is lost,
//! nothing is doubled.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::{Client, order};
use factstream_tests::pair::Place;
use factstream_tests::process::run;
use factstream_tests::{eventually, ledger};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const KILLS: u32 = 20;
const CLIENTS: u32 = 4;

/// Places orders until told to stop. An order without an answer is placed again with its key, until there is one.
fn place_orders(number: u32, url: &Mutex<String>, stop: &AtomicBool) -> BTreeMap<String, String> {
    let mut acknowledged = BTreeMap::new();
    for n in 0.. {
        let key = format!("client-{number}-{n}");
        let customer = if n % 20 == 7 { "declined-1" } else { "c-1" };
        let body = order(customer, &format!("SKU-{}", n % 10), 1 + n % 3);
        loop {
            let at = url.lock().unwrap().clone();
            match Client::new(&at).post("/orders", &body, Some(&key)) {
                Ok(answer) if answer.status == 201 => {
                    let order_id = answer.body["order_id"].as_str().unwrap().to_owned();
                    acknowledged.insert(key, order_id);
                    break;
                }
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => thread::sleep(Duration::from_millis(5)), // killed, or not ready yet
            }
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    acknowledged
}

fn what_was_acknowledged_survives_kills_at_random_instants_exactly_once(place: &Place) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let store = place.store.as_str();
    let more = ["--gateway-failure-rate", "0.1", "--seal-within", "0"];
    let mut server = place.serve(&more);
    for n in 0..10 {
        let body = serde_json::json!({ "sku": format!("SKU-{n}"), "quantity": 1_000_000 });
        assert!(Client::new(&server.url).post("/inventory", &body, None).unwrap().status < 300);
    }
    let url = Arc::new(Mutex::new(server.url.clone()));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (url, stop) = (Arc::clone(&url), Arc::clone(&stop));
            thread::spawn(move || place_orders(number, &url, &stop))
        })
        .collect();
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(random.random_range(20..700)));
        server.kill();
        server = place.serve(&more);
        url.lock().unwrap().clone_from(&server.url);
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: BTreeMap<String, String> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    println!("{} orders acknowledged across {KILLS} kills", acknowledged.len());
    let client = Client::new(&server.url);
    eventually("everything settles", || client.is_settled());

    // A repeat with the key of long ago is told the same order.
    for (key, order_id) in acknowledged.iter().step_by(50) {
        let (client_number, n) = key.trim_start_matches("client-").split_once('-').unwrap();
        let n: u32 = n.parse().unwrap();
        let customer = if n % 20 == 7 { "declined-1" } else { "c-1" };
        let body = order(customer, &format!("SKU-{}", n % 10), 1 + n % 3);
        let answer = client.post("/orders", &body, Some(key)).unwrap();
        assert_eq!(answer.body["order_id"].as_str(), Some(order_id.as_str()), "client {client_number}");
    }
    let letters = client.status()["handlers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["dead_letters"].as_u64().unwrap())
        .sum::<u64>();
    assert_eq!(letters, 0, "dead letters");
    let seal = |args: &[&str]| run(&[&["seal"], args, &["--store", store]].concat());
    eventually("all is sealed", || {
        let status = seal(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&status.stdout).unwrap()["unsealed_events"] == 0
    });
    assert!(server.stop().success());
    let verified = seal(&["verify"]);
    assert!(
        verified.status.success(),
        "seals of before and after the kills are one tree (G24): {verified:?}"
    );

    ledger::check(store);
    let events = ledger::events(store);
    let created = ledger::of_type(&events, "OrderCreated");
    for order_id in acknowledged.values() {
        assert!(created.contains(order_id.as_str()), "acknowledged order {order_id} is lost");
    }
    // Each key stands for one order, and nothing was created that no key stands for.
    assert_eq!(created.len(), acknowledged.len());
    let done =
        ledger::of_type(&events, "OrderShipped").len() + ledger::of_type(&events, "OrderCancelled").len();
    assert_eq!(done, created.len(), "every order came to its end");
}

fn a_stop_under_load_drains_and_loses_nothing(place: &Place) {
    let store = place.store.as_str();
    let mut server = place.serve(&[]);
    let stock = serde_json::json!({ "sku": "SKU-0", "quantity": 1_000_000 });
    assert!(Client::new(&server.url).post("/inventory", &stock, None).unwrap().status < 300);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let client = Client::new(&server.url);
        let placing = thread::spawn(move || {
            let place = || client.post("/orders", &order("c-1", "SKU-0", 1), None);
            let placed = std::iter::from_fn(|| place().ok().filter(|answer| answer.status == 201));
            placed.map(|answer| answer.body["order_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        });
        let client = Client::new(&server.url);
        let before = client.status()["position"].as_u64().unwrap();
        eventually("orders are placed", || client.status()["position"].as_u64().unwrap_or(0) > before + 50);
        assert!(server.stop().success(), "round {round}");
        acknowledged.extend(placing.join().unwrap());
        server = place.serve(&[]);
    }
    let client = Client::new(&server.url);
    eventually("everything settles", || client.is_settled());
    assert!(server.stop().success());
    ledger::check(store);
    let events = ledger::events(store);
    let created = ledger::of_type(&events, "OrderCreated");
    assert!(acknowledged.iter().all(|order_id| created.contains(order_id.as_str())));
}

factstream_tests::on_each_pair!(
    what_was_acknowledged_survives_kills_at_random_instants_exactly_once,
    a_stop_under_load_drains_and_loses_nothing,
);
