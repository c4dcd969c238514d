//! A failure says when it is to be tried again: not before, and without a backoff on top.

use crate::common::{Do, OrderEvent, Shop, eventually, quick, settled, stop};
use crate::server::{Answer, Asking, Server};
use factstream::{Consumer, Envelope, Failure, Handler, Projection, Projector, Retry, Rows, Tx};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(1);

/// A backoff that a test would not live to see the end of.
fn in_ten_minutes() -> Retry {
    let wait = Duration::from_secs(600);
    Retry { initial: wait, max_delay: wait, ..Retry::default() }
}

/// Asserts that the second attempt came after the wait, and long before any backoff of [`in_ten_minutes`].
fn assert_waited(attempts: &[Instant]) {
    let [first, second] = attempts else { panic!("{} attempts", attempts.len()) };
    assert!(second.duration_since(*first) >= WAIT, "{:?}", second.duration_since(*first));
}

#[tokio::test]
async fn a_call_that_is_answered_with_429_is_made_again_after_the_servers_wait_and_not_before() {
    for (retry, concurrency) in [(quick(2), 1), (in_ten_minutes(), 1), (in_ten_minutes(), 4)] {
        let shop = Shop::new();
        let busy_once = |path: &str, before: usize| match (path, before) {
            ("/o-3", 0) => Answer::TooMany(1),
            _ => Answer::Ok,
        };
        let server = Server::start(busy_once).await;
        let asking = Consumer::new("asking").external(Asking(server.clone()));
        let app = shop.builder().consumer(asking.retry(retry).concurrency(concurrency)).open().await.unwrap();
        for n in 0..6 {
            app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
        }
        let running = app.start().await.unwrap();
        eventually("the others do not wait", || async { server.calls().len() >= 6 }).await;
        settled(&app).await;
        assert_waited(&server.calls_of("/o-3"));
        assert_eq!(server.calls().len(), 7, "each other one is asked about once");
        assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
        stop(running).await;
    }
}

#[tokio::test]
async fn with_its_last_attempt_it_is_a_dead_letter_like_any_other() {
    let shop = Shop::new();
    let server = Server::start(|_, _| Answer::TooMany(0)).await;
    let asking = Consumer::new("asking").external(Asking(server.clone())).retry(quick(3));
    let app = shop.builder().consumer(asking).open().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    let running = app.start().await.unwrap();
    eventually("it is dead", || async { app.status().await.handlers[0].dead_letters == Some(1) }).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!((letters[0].attempts, server.calls().len()), (3, 3));
    assert!(letters[0].reason.as_ref().unwrap().contains("429 Too Many Requests"), "{letters:?}");
    stop(running).await;
}

/// Asks for a second's time when it first meets the third order.
#[derive(Clone, Default)]
struct Hesitating(Arc<Mutex<HashMap<String, Vec<Instant>>>>);

impl Hesitating {
    fn handle(&self, event: &Envelope<OrderEvent>) -> Result<(), Failure> {
        let mut attempts = self.0.lock().unwrap();
        let attempts = attempts.entry(event.aggregate_id.clone()).or_default();
        attempts.push(Instant::now());
        match (event.aggregate_id.as_str(), attempts.len()) {
            ("o-3", 1) => Err(Failure::transient("not yet").retry_after(WAIT)),
            _ => Ok(()),
        }
    }
}

impl Handler for Hesitating {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, _: &mut Tx) -> Result<(), Failure> {
        self.handle(event)
    }
}

impl Projector for Hesitating {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, _: &mut Rows) -> Result<(), Failure> {
        self.handle(event)
    }
}

#[tokio::test]
async fn a_handler_in_the_store_waits_too_whether_its_events_come_from_a_topic_or_the_log() {
    let shop = Shop::new();
    let (consumer, projection) = (Hesitating::default(), Hesitating::default());
    let builder = shop
        .builder()
        .consumer(Consumer::new("consumer").handler(consumer.clone()).retry(in_ten_minutes()))
        .projection(Projection::new("projection", projection.clone()).retry(quick(2)));
    let app = builder.open().await.unwrap();
    for n in 0..6 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    for hesitating in [consumer, projection] {
        assert_waited(&hesitating.0.lock().unwrap()["o-3"]);
    }
    stop(running).await;
}
