//! Two systems on one cluster: each in a namespace of its own they stay apart; without they mix, and the status says so.

use factstream_tests::client::Client;
use factstream_tests::kafka_tools::Tools;
use factstream_tests::process::{self, Server};
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

#[test]
fn a_system_on_the_group_of_one_that_does_not_run_is_halted_until_it_takes_the_group_over() {
    let broker = kafka::fresh();
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str| format!("sqlite://{}", folder.path().join(format!("{name}.db")).display());
    let serve = |name: &str| Server::start(&store(name), &["--broker", broker.as_str()]);
    let first = serve("first");
    let client = Client::new(&first.url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", 3);
    eventually("all has settled", || client.is_settled());
    let first_id = client.status()["store"]["id"].as_str().unwrap().to_owned();
    assert!(first.stop().success());

    let second = serve("second");
    let client = Client::new(&second.url);
    let payment = || {
        let status = client.status();
        let handlers = status["handlers"].as_array().unwrap();
        handlers.iter().find(|handler| handler["name"] == "payment").unwrap().clone()
    };
    eventually("it is halted", || payment()["state"] == "halted");
    let status = payment();
    let reason = status["reason"].as_str().unwrap();
    for says in
        [first_id.as_str(), client.status()["store"]["id"].as_str().unwrap(), "--namespace", "payment --to"]
    {
        assert!(reason.contains(says), "{reason}");
    }
    assert_eq!(status["foreign_stores"], serde_json::json!([first_id]), "{status}");
    assert_eq!((&status["restarts"], &status["handled"]), (&0.into(), &0.into()), "{status}");

    // Whoever looks from outside sees it, too.
    let list = || {
        let args = ["handlers", "list", "--json", "--store", &store("second"), "--broker", &broker];
        let printed = process::run(&args);
        let handlers: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        let handlers = handlers.as_array().unwrap();
        handlers.iter().find(|handler| handler["name"] == "payment").unwrap().clone()
    };
    let listed = list();
    assert_eq!((&listed["state"], &listed["generation"]), (&"halted".into(), &1.into()), "{listed}");
    let there = &listed["processes"][0];
    assert_eq!((&there["pid"], &there["reason"]), (&second.pid().into(), &status["reason"]), "{listed}");

    // The first one is gone for good: its groups are taken over, and are refused to it from then on.
    for group in ["payment", "inventory", "order"] {
        let args = [
            "handlers",
            "reset",
            group,
            "--to",
            "now",
            "--execute",
            "--store",
            &store("second"),
            "--broker",
            &broker,
        ];
        let done = process::run(&args);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    client.stock("SKU-1", 100);
    client.place("SKU-1", 3);
    eventually("all has settled", || client.is_settled());
    assert_eq!((&list()["state"], &list()["generation"]), (&"live".into(), &2.into()));
    assert!(payment()["handled"].as_u64().is_some_and(|handled| handled > 0), "{}", payment());
    assert!(second.stop().success());
}
