//! Two systems on one cluster: each in a namespace of its own they stay apart; without they mix, and the status says so.

use factstream_tests::client::Client;
use factstream_tests::kafka_tools::Tools;
use factstream_tests::process::Server;
use factstream_tests::{eventually, kafka, ledger};

const REGIONS: [&str; 2] = ["eu.", "us."];

#[test]
fn two_systems_on_one_cluster_stay_apart_in_namespaces_and_are_told_apart_without() {
    let broker = kafka::fresh();
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str| format!("sqlite://{}", folder.path().join(format!("{name}db")).display());
    let serve = |name: &str, more: &[&str]| {
        let args = [&["--broker", broker.as_str()], more].concat();
        Server::start(&store(name), &args)
    };
    let apart = REGIONS.map(|region| serve(region, &["--namespace", region]));
    for server in &apart {
        let client = Client::new(&server.url);
        client.stock("SKU-1", 100);
        client.place("SKU-1", 10);
    }
    for (server, region) in apart.into_iter().zip(REGIONS) {
        let client = Client::new(&server.url);
        eventually("all has settled", || client.is_settled());
        let status = client.status();
        assert_eq!(status["store"]["namespace"], region, "{status}");
        for handler in status["handlers"].as_array().unwrap() {
            assert_eq!(handler["foreign_stores"].as_array().map(Vec::len), Some(0), "{status}");
        }
        assert!(server.stop().success());
        ledger::check(&store(region));
        assert_eq!(Tools::new(&broker).partitions(&format!("{region}orders.events")), 6);
    }

    let mixed = ["one.", "two."].map(|name| serve(name, &[]));
    let id = |server: &Server| Client::new(&server.url).status()["store"]["id"].clone();
    let ids = [id(&mixed[0]), id(&mixed[1])];
    for (server, other) in mixed.iter().zip([&ids[1], &ids[0]]) {
        eventually("the other store is named", || {
            let status = Client::new(&server.url).status();
            let handlers = status["handlers"].as_array().unwrap();
            let payment = handlers.iter().find(|handler| handler["name"] == "payment").unwrap();
            payment["foreign_stores"] == serde_json::json!([other])
        });
    }
}
