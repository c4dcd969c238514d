//! G10 with the real processes: a rebuild beside a running service, and one that is killed in the middle.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::{Client, order};
use factstream_tests::pair::Place;
use factstream_tests::process::{binary, run};
use factstream_tests::{eventually, ledger};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn a_rebuild_under_load_and_one_that_is_killed_leave_the_rows_of_a_fold(place: &Place) {
    let store = place.store.as_str();
    let demo = place.run_with_broker(&["demo", "--orders", "400"]);
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stdout));
    let server = place.serve(&[]);
    let client = Client::new(&server.url);
    let stop = Arc::new(AtomicBool::new(false));
    let load = thread::spawn({
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        move || {
            let mut placed = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap().status, 201);
                placed += 1;
            }
            placed
        }
    });
    let rebuild = ["projections", "rebuild", "order_projections", "--store", store];
    for millis in [5, 15, 30, 60] {
        let mut killed =
            Command::new(binary()).args(rebuild).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(std::time::Duration::from_millis(millis));
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert_eq!(
            client.get("/orders?limit=1").unwrap().status,
            200,
            "the live rows are there all the time"
        );
    }
    let rebuilt = run(&rebuild);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    assert!(String::from_utf8_lossy(&rebuilt.stdout).contains("is rebuilt from"));
    stop.store(true, Ordering::Relaxed);
    assert!(load.join().unwrap() > 0);
    eventually("it settles", || client.is_settled());
    assert!(server.stop().success());
    ledger::check(store);

    let list = run(&["projections", "list", "--json", "--store", store]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(
        (list[0]["name"].as_str(), list[0]["lag_events"].as_u64()),
        (Some("order_projections"), Some(0))
    );
    let unknown = run(&["projections", "rebuild", "nope", "--store", store]);
    let error = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && error.contains("order_projections"), "{error}");
}

factstream_tests::on_each_pair!(a_rebuild_under_load_and_one_that_is_killed_leave_the_rows_of_a_fold,);
