//! What becomes of consumers when their topics or their groups change on a real Kafka.

use crate::common::{Shop, eventually, settled, stop};
use crate::ledger::{CREATE_LEDGER, Ledger, ledger, note};
use factstream::kafka::rdkafka::ClientConfig;
use factstream::kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use factstream::kafka::rdkafka::client::DefaultClientContext;
use factstream::kafka::rdkafka::error::RDKafkaErrorCode;
use factstream::status::{HandlerStatus, State};
use factstream::{App, Builder, Consumer, params};
use factstream_tests::kafka::server;
use std::time::{Duration, Instant};

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", server().trim_start_matches("kafka://")).create().unwrap()
}

async fn delete_topic(topic: &str) {
    let deleted = admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(deleted[0].is_ok(), "{deleted:?}");
}

/// Makes a topic as soon as the old one is deleted.
async fn make_topic(topic: &str, partitions: i32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        match &admin().create_topics(&[new], &AdminOptions::new()).await.unwrap()[0] {
            Ok(_) => return,
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if Instant::now() < deadline => {}
            Err((_, code)) => panic!("{code}"),
        }
    }
}

/// In a namespace of its own: the group and the topics of this test.
fn builder(shop: &Shop, namespace: &str) -> Builder {
    shop.builder().broker(server()).namespace(namespace)
}

async fn open(shop: &Shop, namespace: &str) -> App {
    let consumer = Consumer::new("ledger").handler(Ledger::default());
    let app = builder(shop, namespace).consumer(consumer).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.sql(&CREATE_LEDGER.replace("TABLE", "TABLE IF NOT EXISTS"), params![]).await.unwrap();
    tx.commit().await.unwrap();
    app
}

async fn handler(app: &App) -> HandlerStatus {
    app.status().await.handlers.remove(0)
}

async fn halted(app: &App) -> String {
    eventually("it is halted", || async { matches!(handler(app).await.state, State::Halted { .. }) }).await;
    match handler(app).await.state {
        State::Halted { reason } => reason,
        other => panic!("{other:?}"),
    }
}

const KEYS: usize = 12;

async fn note_all(app: &App, text: &str) {
    for key in 0..KEYS {
        note(app, &format!("o-{key}"), text).await;
    }
}

async fn all_have(app: &App, texts: &[&str]) {
    for key in 0..KEYS {
        let id = format!("o-{key}");
        eventually(&format!("{id} has {texts:?}"), || async { ledger(app, &id).await.len() >= texts.len() })
            .await;
        assert_eq!(ledger(app, &id).await, texts, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_again_with_fewer_partitions_while_all_runs_is_read_whole() {
    let shop = Shop::new();
    let app = open(&shop, "fewer-running.").await;
    let running = app.start().await.unwrap();
    note_all(&app, "1").await;
    all_have(&app, &["1"]).await;
    settled(&app).await;
    delete_topic("fewer-running.orders.events").await;
    note_all(&app, "2").await;
    make_topic("fewer-running.orders.events", 2).await;
    note_all(&app, "3").await;
    all_have(&app, &["1", "2", "3"]).await;
    settled(&app).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_halted_at_a_topic_with_fewer_partitions_goes_on_with_its_first_records() {
    let shop = Shop::new();
    let app = open(&shop, "fewer-halted.").await;
    let running = app.start().await.unwrap();
    note_all(&app, "1").await;
    note_all(&app, "2").await;
    all_have(&app, &["1", "2"]).await;
    settled(&app).await;
    stop(running).await;
    delete_topic("fewer-halted.orders.events").await;
    make_topic("fewer-halted.orders.events", 1).await;
    let app = open(&shop, "fewer-halted.").await;
    let running = app.start().await.unwrap();
    let reason = halted(&app).await;
    assert!(reason.contains("the partition ends at 0"), "{reason}");
    note_all(&app, "3").await;
    all_have(&app, &["1", "2", "3"]).await;
    settled(&app).await;
    stop(running).await;
}
