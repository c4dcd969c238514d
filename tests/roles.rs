//! docs/operating.md: a role that owns the tables makes them, and one that may only read and write runs the services.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::{Client, order};
use factstream_tests::postgres::server;
use factstream_tests::process::{Server, run};
use factstream_tests::{eventually, ledger};

/// As docs/operating.md has it.
const GRANTS: &str = include_str!("../docs/grants.sql");

#[test]
fn services_run_under_a_role_that_may_not_make_tables() {
    let owner = server().database();
    let made = run(&["projections", "list", "--store", &owner]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut admin = postgres::Client::connect(&owner, postgres::NoTls).unwrap();
    admin.batch_execute("CREATE ROLE orders_app LOGIN").unwrap();
    admin.batch_execute(GRANTS).unwrap();
    let app = owner.replace("factstream@", "orders_app@");
    let refused =
        postgres::Client::connect(&app, postgres::NoTls).unwrap().batch_execute("CREATE TABLE t (n int)");
    assert!(refused.is_err(), "the role may not make tables");

    let service = Server::start(&app, &[]);
    let client = Client::new(&service.url);
    client.post("/inventory", &serde_json::json!({ "sku": "SKU-1", "quantity": 10 }), None).unwrap();
    for _ in 0..5 {
        assert_eq!(client.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap().status, 201);
    }
    eventually("it settles", || client.is_settled());
    assert!(service.stop().success());
    ledger::check(&app);

    // What needs more says so, and leaves the live rows alone.
    let rebuild = run(&["projections", "rebuild", "order_projections", "--store", &app]);
    let error = String::from_utf8_lossy(&rebuild.stderr);
    assert!(!rebuild.status.success() && error.contains("permission denied"), "{error}");
    ledger::check(&app);
}
