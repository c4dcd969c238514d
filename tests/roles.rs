//! docs/operating.md: a role that owns the tables makes them, and one that may only read and write runs the services.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_tests::client::{Client, order};
use factstream_tests::postgres::{Postgres, server};
use factstream_tests::process::{Server, run};
use factstream_tests::{eventually, ledger};

/// As docs/operating.md has it.
const GRANTS: &str = include_str!("../docs/grants.sql");

/// The services' role on a store that is made: its URL, and the owner's connection.
fn restricted(role: &str) -> (String, postgres::Client) {
    let owner = server().database();
    let made = run(&["projections", "list", "--store", &owner]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut admin = postgres::Client::connect(&owner, postgres::NoTls).unwrap();
    // As every database of PostgreSQL 11 to 14 has it.
    admin.batch_execute("GRANT CREATE ON SCHEMA public TO PUBLIC").unwrap();
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    admin.batch_execute(&GRANTS.replace("orders_app", role)).unwrap();
    (owner.replace("factstream@", &format!("{role}@")), admin)
}

#[test]
fn a_revoked_grant_is_no_orders_fault_and_requests_are_told_the_grant_to_run() {
    let (app, mut admin) = restricted("orders_revoked");
    let service = Server::start(&app, &[]);
    let client = Client::new(&service.url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", 1);
    eventually("it settles", || client.is_settled());

    // A right that the handlers need: orders are taken, and wait.
    admin
        .batch_execute("REVOKE UPDATE ON fs_inbox, fs_command_keys, order_projections FROM orders_revoked")
        .unwrap();
    admin.batch_execute("REVOKE INSERT ON fs_inbox, order_projections FROM orders_revoked").unwrap();
    client.place("SKU-1", 19);
    eventually("a handler says what it misses", || {
        client.status()["handlers"].to_string().contains("permission denied for table")
    });
    // A right that every append needs.
    admin.batch_execute("REVOKE INSERT ON events FROM orders_revoked").unwrap();
    let refused = client.post("/orders", &order("c-1", "SKU-1", 1), Some("k-1")).unwrap();
    let detail = refused.body["detail"].as_str().unwrap_or_default();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(detail.contains("permission denied for table events"), "{detail}");
    assert!(detail.contains("GRANT SELECT, INSERT ON events TO"), "{detail}");

    admin.batch_execute(&GRANTS.replace("orders_app", "orders_revoked")).unwrap();
    assert_eq!(client.post("/orders", &order("c-1", "SKU-1", 1), Some("k-1")).unwrap().status, 201);
    eventually("it settles", || client.is_settled());
    let letters: i64 = admin.query_one("SELECT count(*) FROM fs_dead_letters", &[]).unwrap().get(0);
    assert_eq!(letters, 0);
    assert!(service.stop().success());
    ledger::check(&app);
}

#[test]
fn a_server_that_turns_read_only_is_answered_with_503_and_what_to_do() {
    let store = server().database();
    let service = Server::start(&store, &[]);
    let client = Client::new(&service.url);
    client.stock("SKU-1", 10);
    let name = store.rsplit_once('/').unwrap().1;
    let turn = |on: &str| {
        server().run(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}"));
        server()
            .run(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    };
    turn("on");
    let post = || client.post("/orders", &order("c-1", "SKU-1", 1), Some("k-1")).unwrap();
    eventually("it is told to find a server that writes", || {
        let answer = post();
        assert_eq!(answer.status, 503, "{answer:?}");
        answer.body["detail"].to_string().contains("target_session_attrs=read-write")
    });
    turn("off");
    eventually("it is taken", || post().status == 201);
    eventually("it settles", || client.is_settled());
    assert!(service.stop().success());
    ledger::check(&store);
}

#[test]
fn services_run_under_a_role_that_may_not_make_tables() {
    let (app, _) = restricted("orders_app");
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

#[test]
fn services_seal_the_log_and_may_change_no_seal_that_stands() {
    let (app, mut admin) = restricted("orders_sealing");
    let service = Server::start(&app, &["--seal-within", "0"]);
    let client = Client::new(&service.url);
    client.stock("SKU-1", 10);
    client.place("SKU-1", 5);
    eventually("it settles", || client.is_settled());
    let unsealed = "SELECT (SELECT max(position) FROM events) - coalesce(max(size), 0) FROM fs_seals";
    eventually("all is sealed", || admin.query_one(unsealed, &[]).unwrap().get::<_, i64>(0) == 0);
    assert!(service.stop().success());
    let mut role = postgres::Client::connect(&app, postgres::NoTls).unwrap();
    for refused in [
        "UPDATE fs_seals SET leaves = leaves",
        "DELETE FROM fs_seals",
        "TRUNCATE fs_seals",
        "UPDATE fs_seal_salts SET salts = salts",
        "DELETE FROM fs_seal_salts",
        "INSERT INTO fs_seals SELECT * FROM fs_seals ON CONFLICT (size) DO UPDATE SET leaves = excluded.leaves",
        "UPDATE events SET schema_version = 2",
    ] {
        let error = role.batch_execute(refused).unwrap_err();
        let code = error.code().map(postgres::error::SqlState::code);
        assert_eq!(code, Some("42501"), "{refused}: {error}"); // insufficient_privilege
    }
}

#[test]
fn a_role_that_may_have_six_connections_runs_all_services() {
    let (app, mut admin) = restricted("orders_few");
    admin.batch_execute("ALTER ROLE orders_few CONNECTION LIMIT 6").unwrap();
    let service = Server::start(&app, &[]);
    let client = Client::new(&service.url);
    client.stock("SKU-1", 1_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Client::new(&service.url).place("SKU-1", 10));
        }
    });
    eventually("it settles", || client.is_settled());
    let shipped = "SELECT count(*) FROM order_projections WHERE status = 'SHIPPED'";
    assert_eq!(admin.query_one(shipped, &[]).unwrap().get::<_, i64>(0), 80);
    let letters: i64 = admin.query_one("SELECT count(*) FROM fs_dead_letters", &[]).unwrap().get(0);
    assert_eq!(letters, 0);
    assert!(service.stop().success());
    ledger::check(&app);
}

/// The server answers COMMIT with success and a warning when the wait for its synchronous standby is cancelled.
#[test]
fn an_order_that_no_synchronous_standby_has_confirmed_is_not_acknowledged() {
    let server = Postgres::start_own();
    let store = server.database();
    let service = Server::start(&format!("{store}?answer_timeout=0.3"), &[]);
    let client = Client::new(&service.url);
    client.stock("SKU-1", 10);
    eventually("it settles", || client.is_settled());
    let mut admin = postgres::Client::connect(&store, postgres::NoTls).unwrap();
    let mut wait_for = |standby: &str| {
        admin.batch_execute("SET synchronous_commit = local").unwrap();
        admin.batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'")).unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    };
    wait_for("nobody");
    let post = || Client::new(&service.url).post("/orders", &order("c-1", "SKU-1", 1), Some("k-1")).unwrap();
    let mut other = postgres::Client::connect(&store, postgres::NoTls).unwrap();
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    std::thread::scope(|scope| {
        let answered = scope.spawn(post);
        while !answered.is_finished() {
            other.query_one(cancel, &[]).unwrap(); // an impatient operator
            std::thread::yield_now();
        }
        let answer = answered.join().unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.body["detail"].to_string().contains("synchronous standby"), "{answer:?}");
    });
    wait_for("");
    eventually("the same request is told its order", || post().status < 300);
    eventually("it settles", || client.is_settled());
    let created = "SELECT count(*) FROM events WHERE event_type = 'OrderCreated'";
    assert_eq!(other.query_one(created, &[]).unwrap().get::<_, i64>(0), 1);
    assert!(service.stop().success());
    ledger::check(&store);
}
