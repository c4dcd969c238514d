//! A topic that is deleted while the services run: what is published there waits for it, and the other topics flow.

use factstream_tests::client::Client;
use factstream_tests::kafka_tools::{Tools, run};
use factstream_tests::process::Server;
use factstream_tests::{eventually, kafka, ledger};

const DELETED: &str = "payments.events";

#[test]
fn a_topic_that_is_deleted_holds_up_its_own_events_only_and_the_status_names_it() {
    let broker = kafka::fresh();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let server = Server::start(&store, &["--broker", &broker]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 100);
    eventually("all has settled", || client.is_settled());
    run("org.apache.kafka.tools.TopicCommand", &broker, &["--delete", "--topic", DELETED]);

    client.place("SKU-1", 3);
    eventually("the status names the topic", || {
        client.status()["relay"]["reasons"].to_string().contains(DELETED)
    });
    // What comes later is published all the same, and the stock is reserved.
    client.place("SKU-1", 3);
    eventually("the other topics flow", || {
        let status = client.status();
        let inventory = status["handlers"].as_array().unwrap().iter().find(|one| one["name"] == "inventory");
        status["relay"]["lag_events"] == 0 && inventory.unwrap()["lag_events"] == 0
    });
    let relay = client.status()["relay"].clone();
    assert!(relay["retrying"].as_u64() > Some(0) && relay["dead_letters"] == 0, "{relay}");

    Tools::new(&broker).make(DELETED, 6);
    eventually("what waited is published", || {
        let relay = client.status()["relay"].clone();
        relay["retrying"] == 0 && relay["parked"] == 0 && relay["reasons"] == serde_json::json!([])
    });
    eventually("all has settled", || client.is_settled());
    assert!(server.stop().success());
    ledger::check(&store);
}
