//! A process that is asked to stop says that it is not ready before it stops taking requests.

use factstream_tests::client::{Client, order};
use factstream_tests::process::Server;
use factstream_tests::{eventually, ledger};

#[test]
fn on_sigterm_it_is_not_ready_while_it_still_answers_until_the_grace_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let mut server = Server::start(&store, &["--stop-grace", "600"]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 100);
    assert_eq!(client.get("/readyz").unwrap().status, 200);
    server.ask_to_stop();
    eventually("it is not ready", || client.get("/readyz").unwrap().status == 503);
    let told = client.get("/readyz").unwrap().body;
    assert!(told.to_string().contains("stopping"), "{told}");
    assert_eq!(client.get("/livez").unwrap().status, 200);
    // Another connection, as of a client that has not heard of it.
    let placed = Client::new(&server.url).post("/orders", &order("c-1", "SKU-1", 1), None).unwrap();
    assert_eq!(placed.status, 201, "{placed:?}");
    eventually("its handlers go on", || client.is_settled());
    assert!(!server.has_ended());
    server.ask_to_stop(); // who does not want to wait for the end of the grace
    eventually("it takes no more connections", || Client::new(&server.url).get("/livez").is_err());
    eventually("it ends", || server.has_ended());
    assert!(server.stop().success());
    ledger::check(&store);
}

#[test]
fn a_grace_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let server = Server::start(&store, &["--stop-grace", "1"]);
    assert!(server.stop().success());
}
