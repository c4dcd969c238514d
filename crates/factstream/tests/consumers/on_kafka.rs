//! What becomes of consumers when their topics or their groups change on a real Kafka.

use crate::common::{Order, OrderEvent, Shop, eventually, settled, stop};
use crate::ledger::{CREATE_LEDGER, Ledger, ledger, note};
use crate::unreadable::send;
use factstream::kafka::rdkafka::ClientConfig;
use factstream::kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use factstream::kafka::rdkafka::client::DefaultClientContext;
use factstream::kafka::rdkafka::error::RDKafkaErrorCode;
use factstream::kafka::rdkafka::{Offset, TopicPartitionList};
use factstream::status::{HandlerStatus, State};
use factstream::{App, Builder, Consumer, Envelope, Failure, Handler, ResetTo, Tx, params};
use factstream_tests::kafka::{fresh, server};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

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
    App::builder(shop.url()).service("shop").aggregate::<Order>().broker(server()).namespace(namespace)
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

/// Makes the cluster forget where a group stands, as it does 7 days after its last member left.
async fn forget_group(group: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match &admin().delete_groups(&[group], &AdminOptions::new()).await.unwrap()[0] {
            Ok(_) => return,
            Err((_, RDKafkaErrorCode::NonEmptyGroup)) if Instant::now() < deadline => {}
            Err((_, code)) => panic!("{code}"),
        }
    }
}

/// Deletes all records of a partition, as retention does.
async fn delete_records(topic: &str, partition: i32) {
    let mut list = TopicPartitionList::new();
    let (_, end) = tokio::task::block_in_place(|| {
        admin().inner().fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap()
    });
    list.add_partition_offset(topic, partition, Offset::Offset(end)).unwrap();
    let done = admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    done.elements().iter().for_each(|element| element.error().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_forgotten_with_unread_records_that_are_gone_halts_and_says_so() {
    let shop = Shop::new();
    let app = open(&shop, "forgotten.").await;
    let running = app.start().await.unwrap();
    note_all(&app, "1").await;
    all_have(&app, &["1"]).await;
    settled(&app).await;
    stop(running).await;
    // While the consumer is away, others publish, and all of it is deleted.
    let others = builder(&shop, "forgotten.").open().await.unwrap();
    let running = others.start().await.unwrap();
    note_all(&others, "2").await;
    settled(&others).await;
    stop(running).await;
    forget_group("forgotten.ledger").await;
    for partition in 0..6 {
        delete_records("forgotten.orders.events", partition).await;
    }
    let app = open(&shop, "forgotten.").await;
    let running = app.start().await.unwrap();
    let reason = halted(&app).await;
    assert!(reason.contains("records were deleted unread") && reason.contains("--to"), "{reason}");
    let plan = app.plan_reset("ledger", ResetTo::Beginning).await.unwrap();
    app.reset(&plan, false).await.unwrap();
    note_all(&app, "3").await;
    all_have(&app, &["1", "3"]).await;
    settled(&app).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_without_an_id_on_another_cluster_are_new_ones() {
    let shop = Shop::new();
    for (cluster, text) in [(server(), "here"), (fresh(), "there")] {
        let consumer = Consumer::new("ledger").handler(Ledger::default());
        let builder = App::builder(shop.url()).service("shop").aggregate::<Order>().broker(cluster);
        let app = builder.namespace("clusters.").consumer(consumer).open().await.unwrap();
        let mut tx = app.begin().await.unwrap();
        tx.sql(&CREATE_LEDGER.replace("TABLE", "TABLE IF NOT EXISTS"), params![]).await.unwrap();
        tx.commit().await.unwrap();
        let running = app.start().await.unwrap();
        for number in 0..3 {
            let value = format!(r#"{{"text":"{text} {number}"}}"#);
            send(&app, "k", value.as_bytes(), &[("event_type", b"OrderNoted")]).await;
        }
        eventually("all three are handled", || async { handler(&app).await.handled == 3 }).await;
        settled(&app).await;
        stop(running).await;
        let all = ledger(&app, "k").await;
        let of_cluster = all.iter().filter(|entry| entry.starts_with(text)).count();
        assert_eq!(of_cluster, 3, "{all:?}");
    }
}

/// Waits at a gate.
struct Gated(Arc<watch::Sender<bool>>);

impl Handler for Gated {
    type Events = OrderEvent;

    async fn handle(&self, _: &Envelope<OrderEvent>, _: &mut Tx) -> Result<(), Failure> {
        self.0.subscribe().wait_for(|open| *open).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_tells_the_age_of_the_oldest_record_that_waits() {
    let shop = Shop::new();
    let gate = Arc::new(watch::channel(false).0);
    let relay_only = builder(&shop, "lag.").open().await.unwrap();
    let running = relay_only.start().await.unwrap();
    note_all(&relay_only, "1").await;
    settled(&relay_only).await;
    stop(running).await;
    let published = Instant::now();
    let consumer = Consumer::new("gated").handler(Gated(Arc::clone(&gate)));
    let app = builder(&shop, "lag.").consumer(consumer).open().await.unwrap();
    eventually("it grows older", || async {
        let HandlerStatus { lag_events, lag_seconds, .. } = handler(&app).await;
        let seconds = lag_seconds.unwrap_or_default();
        assert!(seconds <= published.elapsed().as_secs_f64() + 30.0, "{seconds}");
        lag_events == Some(KEYS as u64) && seconds > 2.0
    })
    .await;
    let running = app.start().await.unwrap();
    gate.send_replace(true);
    settled(&app).await;
    let HandlerStatus { lag_events, lag_seconds, .. } = handler(&app).await;
    assert_eq!((lag_events, lag_seconds), (Some(0), Some(0.0)));
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_embedded_topics_is_given_kafka_when_all_of_them_is_read_and_nothing_is_left_behind() {
    let shop = Shop::new();
    let consumer = || Consumer::new("ledger").handler(Ledger::default());
    let embedded = || App::builder(shop.url()).service("shop").aggregate::<Order>().namespace("given.");
    let app = embedded().consumer(consumer()).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.sql(CREATE_LEDGER, params![]).await.unwrap();
    tx.commit().await.unwrap();
    // Published by a process without the consumer.
    let others = embedded().open().await.unwrap();
    let running = others.start().await.unwrap();
    note_all(&others, "1").await;
    settled(&others).await;
    stop(running).await;
    let on_kafka = embedded().consumer(consumer()).broker(server()).open().await.unwrap();
    let refused = on_kafka.start().await.unwrap_err().to_string();
    assert!(refused.contains("12 records unread") && refused.contains("until its lag is 0"), "{refused}");
    let running = app.start().await.unwrap();
    all_have(&app, &["1"]).await;
    settled(&app).await;
    stop(running).await;
    // Not published yet when the broker changes, and of long ago.
    note_all(&app, "2").await;
    let mut tx = app.begin().await.unwrap();
    tx.sql("UPDATE events SET timestamp = $1", params![jiff::Timestamp::UNIX_EPOCH]).await.unwrap();
    tx.commit().await.unwrap();
    let running = on_kafka.start().await.unwrap();
    all_have(&on_kafka, &["1", "2"]).await;
    settled(&on_kafka).await;
    stop(running).await;
}
