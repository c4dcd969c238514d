//! `/status` while something is away: what is known comes at once, what is not says why.

use factstream_tests::client::{Client, order};
use factstream_tests::eventually;
use factstream_tests::kafka::Kafka;
use factstream_tests::postgres::Postgres;
use factstream_tests::process::Server;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The promise is a second; the machine may be busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(3);

/// The status and how long it took. It is always an answer of success.
fn look(client: &Client) -> (Value, Duration) {
    let asked = Instant::now();
    let answer = client.get("/status").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.body, asked.elapsed())
}

fn handler<'a>(status: &'a Value, name: &str) -> &'a Value {
    let handlers = status["handlers"].as_array().unwrap();
    handlers.iter().find(|handler| handler["name"] == name).unwrap()
}

fn is_at_once(took: Duration, status: &Value) {
    assert!(took < AT_ONCE, "the status took {took:?}: {status}");
}

#[test]
fn with_kafka_away_the_status_tells_what_is_known_at_once_and_the_reason_for_what_is_not() {
    let mut kafka = Kafka::start_own();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let server = Server::start(&store, &["--broker", &kafka.url()]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", 3);
    eventually("all has settled", || client.is_settled());
    let (status, _) = look(&client);
    assert_eq!(status["broker"]["answers"], true, "{status}");
    let position = status["position"].as_u64().unwrap();

    kafka.kill();
    for _ in 0..3 {
        let (status, took) = look(&client);
        is_at_once(took, &status);
        assert_eq!(status["position"].as_u64(), Some(position), "{status}");
        assert_eq!(handler(&status, "order_projections")["lag_events"], 0, "{status}");
        assert!(status["owners"].as_array().is_some_and(|owners| !owners.is_empty()), "{status}");
        assert_eq!(status["broker"]["answers"], false, "{status}");
        let payment = handler(&status, "payment");
        assert!(payment["lag_events"].is_null() && payment["members"].is_null(), "{status}");
        assert_eq!(payment["dead_letters"], 0, "{status}");
        assert!(payment["unknown"].to_string().contains("lag: "), "{status}");
    }
    eventually("the reason is told", || {
        let error = look(&client).0["broker"]["error"].to_string();
        error.contains(&kafka.port().to_string()) && error.contains("cannot be reached")
    });
    assert_eq!(client.post("/orders", &order("c-1", "SKU-1", 1), None).unwrap().status, 201);
    assert!(server.stop().success());
}

#[test]
fn with_postgres_away_the_status_tells_what_this_process_knows() {
    let postgres = Postgres::start_own();
    let server = Server::start(&postgres.database(), &[]);
    let client = Client::new(&server.url);
    eventually("all has settled", || client.is_settled());
    postgres.pause();
    let (status, took) = look(&client);
    postgres.resume();
    is_at_once(took, &status);
    assert_eq!(status["store"]["answers"], false, "{status}");
    assert!(status["store"]["error"].as_str().is_some_and(|error| error.contains("no answer")), "{status}");
    assert!(status["position"].is_null() && status["owners"].is_null(), "{status}");
    assert!(handler(&status, "order_projections")["lag_events"].is_null(), "{status}");
    assert!(status["relay"]["lag_events"].is_null() && status["relay"]["state"].is_string(), "{status}");
    eventually("all has settled again", || client.is_settled());
    assert!(server.stop().success());
}

#[test]
fn with_one_broker_of_three_killed_the_status_comes_at_once_and_all_goes_on() {
    let mut brokers = Kafka::start_cluster();
    let addresses: Vec<String> =
        brokers.iter().map(|broker| broker.plain_url().replace("kafka://", "")).collect();
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let server = Server::start(&store, &["--broker", &format!("kafka://{}", addresses.join(","))]);
    let client = Client::new(&server.url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", 3);
    eventually("all has settled", || client.is_settled());

    // The leader of some partitions, and with luck the coordinator of a group.
    brokers[0].kill();
    for _ in 0..5 {
        let (status, took) = look(&client);
        is_at_once(took, &status);
        assert!(status["position"].as_u64().is_some(), "{status}");
        assert_eq!(handler(&status, "order_projections")["lag_events"], 0, "{status}");
        for name in ["order", "inventory", "payment"] {
            let found = handler(&status, name);
            // What a part does not say, it has a reason for.
            let is_told = found["lag_events"].is_u64() || !found["unknown"].as_array().unwrap().is_empty();
            assert!(is_told, "{status}");
        }
    }
    client.place("SKU-1", 3);
    eventually("all has settled with two brokers", || client.is_settled());
    assert_eq!(look(&client).0["broker"]["answers"], true, "two of three are a cluster");
    assert!(server.stop().success());
}
