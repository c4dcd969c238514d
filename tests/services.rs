//! The three services as processes of their own, two of each: work is shared, owners are seen, a dead one is replaced,
//! one that was paused does no harm.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "services/status.rs"]
mod status;
#[path = "services/leaving.rs"]
mod leaving;
#[path = "services/clocks.rs"]
mod clocks;
#[path = "services/urls.rs"]
mod urls;
#[path = "services/namespaces.rs"]
mod namespaces;
#[path = "services/missing_topic.rs"]
mod missing_topic;
#[path = "services/processes.rs"]
mod processes;

use factstream_tests::client::{Client, order};
use factstream_tests::pair::Place;
use factstream_tests::process::Server;
use factstream_tests::{eventually, ledger};
use serde_json::Value;
use std::time::{Duration, Instant};

const SERVICES: [&str; 3] = ["order", "inventory", "payment"];
/// The promise: whoever is killed is replaced within this.
const TAKE_OVER: Duration = Duration::from_secs(5);

/// Two processes of each service, by the service's name.
fn start(place: &Place) -> Vec<(&'static str, Server)> {
    let twice = SERVICES.into_iter().chain(SERVICES);
    twice.map(|service| (service, place.serve(&["--service", service]))).collect()
}

fn clients(servers: &[(&str, Server)], service: &str) -> Vec<Client> {
    let of = servers.iter().filter(|(name, _)| *name == service);
    of.map(|(_, server)| Client::new(&server.url)).collect()
}

fn is_settled(servers: &[(&str, Server)]) -> bool {
    let positions =
        || servers.iter().map(|(_, server)| Client::new(&server.url).status()["position"].clone());
    let before: Vec<Value> = positions().collect();
    servers.iter().all(|(_, server)| Client::new(&server.url).is_settled())
        && positions().all(|position| position == before[0])
}

/// The process that owns this, as any process tells.
fn owner(client: &Client, lease: &str) -> Option<u32> {
    let status = client.status();
    let owners = status["owners"].as_array()?;
    let owner = owners.iter().find(|owner| owner["lease"] == lease)?;
    owner["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

fn stock(servers: &[(&str, Server)]) {
    for n in 0..5 {
        let body = serde_json::json!({ "sku": format!("SKU-{n}"), "quantity": 100_000 });
        let added = clients(servers, "inventory")[n % 2].post("/inventory", &body, None).unwrap();
        assert!(added.status < 300, "{added:?}");
    }
}

fn place_orders(servers: &[(&str, Server)], count: usize) {
    let clients = clients(servers, "order");
    for n in 0..count {
        let body = order(if n % 10 == 3 { "declined-1" } else { "c-1" }, &format!("SKU-{}", n % 5), 1);
        assert_eq!(clients[n % clients.len()].post("/orders", &body, None).unwrap().status, 201);
    }
}

/// All comes to its end: the orders that were acknowledged, and any whose acknowledgement got lost.
fn finish(servers: Vec<(&str, Server)>, place: &Place, acknowledged: usize) {
    eventually("everything settles", || is_settled(&servers));
    for (service, server) in servers {
        assert!(server.stop().success(), "{service}");
    }
    ledger::check(&place.store);
    let events = ledger::events(&place.store);
    let count = |event_type| ledger::of_type(&events, event_type).len();
    let created = count("OrderCreated");
    assert!(created >= acknowledged, "{created} orders of {acknowledged} acknowledged");
    assert_eq!(count("OrderShipped") + count("OrderCancelled"), created, "every order came to its end");
}

fn two_of_each_service_share_the_work_and_the_killed_owner_of_the_relay_is_replaced_in_time(place: &Place) {
    let mut servers = start(place);
    stock(&servers);
    place_orders(&servers, 60);
    eventually("somebody owns the relay and the read model", || {
        let client = &clients(&servers, "payment")[0];
        owner(client, "relay").is_some() && owner(client, "handler order_projections").is_some()
    });
    // Another service's paths are not here, and it says what is.
    let elsewhere = clients(&servers, "payment")[0].get("/orders").unwrap();
    assert_eq!(elsewhere.status, 404);
    assert!(elsewhere.body.to_string().contains("/status"), "{elsewhere:?}");

    for lease in ["relay", "handler order_projections"] {
        let owned_by = owner(&clients(&servers, "payment")[0], lease).unwrap();
        let at = servers.iter().position(|(_, server)| server.pid() == owned_by).unwrap();
        let (service, owner_process) = servers.remove(at);
        owner_process.kill();
        let killed = Instant::now();
        let witness = Client::new(&servers[0].1.url);
        eventually("another owns it", || owner(&witness, lease).is_some_and(|pid| pid != owned_by));
        let took = killed.elapsed();
        println!("{lease}: taken over {took:?} after the kill");
        assert!(took < TAKE_OVER, "{lease} was taken over only after {took:?}");
        servers.push((service, place.serve(&["--service", service])));
        place_orders(&servers, 40);
    }
    finish(servers, place, 140);
}

/// Pauses the owner of the relay until another has it.
fn pause_until_replaced(place: &Place, paused: &Server, witness: &Client) {
    let is_replaced = || owner(witness, "relay").is_some_and(|pid| pid != paused.pid());
    loop {
        paused.pause();
        let since = Instant::now();
        while !is_replaced() && since.elapsed() < 2 * TAKE_OVER {
            std::thread::sleep(Duration::from_millis(20));
        }
        if is_replaced() && can_be_written(place) {
            println!("relay: taken over {:?} after the pause", since.elapsed());
            return;
        }
        // Halted in the middle of a write it holds the file's lock, and nobody can write: docs/operating.md says so. It may
        // have got the lock in the moment in which it was awake and lost the relay.
        assert!(place.store.starts_with("sqlite:"), "the relay was not taken over from a paused process");
        paused.resume();
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether the store's lock can be had. That of PostgreSQL is a row's, and the server takes it from a session that is silent.
fn can_be_written(place: &Place) -> bool {
    let Some(path) = place.store.strip_prefix("sqlite://") else { return true };
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(TAKE_OVER).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
}

fn an_owner_that_is_paused_is_replaced_and_does_no_harm_when_it_wakes_up(place: &Place) {
    let servers = start(place);
    stock(&servers);
    place_orders(&servers, 20);
    eventually("somebody owns the relay", || owner(&clients(&servers, "payment")[0], "relay").is_some());
    let owned_by = owner(&clients(&servers, "payment")[0], "relay").unwrap();
    let (_, paused) = servers.iter().find(|(_, server)| server.pid() == owned_by).unwrap();
    // Placed while it is being paused: it may stop anywhere in its work.
    let awake = servers.iter().find(|(name, server)| *name == "order" && server.pid() != owned_by).unwrap();
    let client = Client::new(&awake.1.url);
    let placing = std::thread::spawn({
        let client = client.clone();
        move || {
            let place = |n: u32| client.post("/orders", &order("c-1", &format!("SKU-{}", n % 5), 1), None);
            (0..100).filter(|n| place(*n).is_ok_and(|answer| answer.status == 201)).count()
        }
    });
    pause_until_replaced(place, paused, &client);
    let placed = placing.join().unwrap();
    paused.resume();
    finish(servers, place, 20 + placed);
}

factstream_tests::on_each_pair!(
    two_of_each_service_share_the_work_and_the_killed_owner_of_the_relay_is_replaced_in_time,
    an_owner_that_is_paused_is_replaced_and_does_no_harm_when_it_wakes_up,
);
