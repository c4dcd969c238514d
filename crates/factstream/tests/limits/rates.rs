//! A limited handler starts no more calls than its rate allows, and uses its rate; waiting is no failure and no attempt.

use crate::common::{Do, OrderEvent, Shop, eventually, quick, settled, stop};
use crate::server::{Answer, Asking, Server};
use factstream::{App, Consumer, Envelope, Error, Failure, Handler, Rate, Tx, params};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Calls of one stretch, and how many stretches there are.
const CALLS: usize = 100;
const STRETCHES: usize = 3;

async fn create(app: &App, orders: Range<usize>) {
    for n in orders {
        app.execute(format!("o-{n}"), Do::Create(n as i64)).await.unwrap();
    }
}

/// Asserts that no letter was made and no attempt failed.
async fn assert_nothing_failed(app: &App) {
    let status = app.status().await;
    assert_eq!((status.handlers[0].attempts, status.handlers[0].retrying), (0, Some(0)), "{status:?}");
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_at_the_rate_and_each_event_is_asked_about_once() {
    let shop = Shop::new();
    let server = Server::start(|_, _| Answer::Ok).await;
    let asking = Consumer::new("asking").external(Asking(server.clone())).concurrency(4);
    let app = shop.builder().consumer(asking.rate(Rate::per_second(50))).open().await.unwrap();
    let running = app.start().await.unwrap();
    // A machine that is busy with other work holds up calls, and what comes late is not made up for: half of the rate is asked for, in one
    // stretch of the time. On a quiet machine it is all of it.
    let mut used = Vec::new();
    for before in (0..STRETCHES).map(|stretch| stretch * CALLS) {
        create(&app, before..before + CALLS).await;
        settled(&app).await;
        assert_eq!(server.calls().len(), before + CALLS);
        used.push(server.used(&server.calls()[before..], 50.0));
    }
    server.assert_at_most(&server.calls(), 50.0);
    assert!(used.iter().any(|used| *used >= 0.5), "the rate is not used: {used:.3?}");
    assert_nothing_failed(&app).await;
    stop(running).await;
}

/// Writes down when it was given what.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<(Instant, String)>>>);

impl Handler for Noting {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, _: &mut Tx) -> Result<(), Failure> {
        self.0.lock().unwrap().push((Instant::now(), event.aggregate_id.clone()));
        Ok(())
    }
}

impl Noting {
    fn times(&self, of: impl Fn(&str) -> bool) -> Vec<Instant> {
        self.0.lock().unwrap().iter().filter(|(_, id)| of(id)).map(|(at, _)| *at).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_the_store_has_a_rate_too_and_each_key_one_of_its_own() {
    let shop = Shop::new();
    let noting = Noting::default();
    let tens = |event: &Envelope<OrderEvent>| event.aggregate_id[..3].to_owned();
    let consumer = Consumer::new("noting").handler(noting.clone()).concurrency(8);
    let app = shop.builder().consumer(consumer.rate(Rate::per_second(20).by(tens))).open().await.unwrap();
    for n in 0..60 {
        for key in ["a", "b"] {
            app.execute(format!("{key}-{n:03}"), Do::Create(n)).await.unwrap();
        }
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    let all = noting.times(|_| true);
    assert_eq!(all.len(), 120);
    // A tenth of each letter's orders: `a-0`, so that both share nothing.
    for key in ["a-0", "b-0"] {
        let times = noting.times(|id| id.starts_with(key));
        assert_eq!(times.len(), 60);
        assert!(
            times[59].duration_since(times[0]) >= Duration::from_millis(2_900),
            "{key} is above its rate"
        );
    }
    assert!(all[119].duration_since(all[0]) < Duration::from_millis(5_500), "the keys wait for each other");
    assert_nothing_failed(&app).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_for_longer_than_a_lease_and_its_time_limit_keeps_its_place_and_is_done_once() {
    let shop = Shop::new();
    let server = Server::start(|_, _| Answer::Ok).await;
    let consumer = || {
        let asking = Consumer::new("asking").external(Asking(server.clone()));
        asking.time_limit(Duration::from_millis(400)).rate(Rate::per_second(2).shared())
    };
    let first = shop.builder().consumer(consumer()).open().await.unwrap();
    create(&first, 0..20).await;
    let running = first.start().await.unwrap();
    eventually("the first one begins", || async { !server.calls().is_empty() }).await;
    let second = shop.builder().consumer(consumer()).open().await.unwrap();
    let standing_by = second.start().await.unwrap();
    settled(&first).await;
    assert_eq!(server.calls().len(), 20, "each once");
    assert_eq!(second.status().await.handlers[0].handled, 0, "the lease was kept");
    assert_nothing_failed(&first).await;
    stop(running).await;
    stop(standing_by).await;
}

#[tokio::test]
async fn waiting_ends_at_once_when_the_application_stops_and_nothing_is_lost() {
    let shop = Shop::new();
    let noting = Noting::default();
    let open =
        |rate| shop.builder().consumer(Consumer::new("noting").handler(noting.clone()).rate(rate)).open();
    let app = open(Rate::per_hour(1)).await.unwrap();
    create(&app, 0..3).await;
    let running = app.start().await.unwrap();
    eventually("the first one is handled", || async { noting.times(|_| true).len() == 1 }).await;
    let stopping = Instant::now();
    stop(running).await;
    assert!(stopping.elapsed() < Duration::from_secs(4), "{:?}", stopping.elapsed());
    drop(app);
    let app = open(Rate::per_second(1_000)).await.unwrap();
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(noting.times(|_| true).len(), 3);
    stop(running).await;
}

#[tokio::test]
async fn a_key_that_is_retried_waits_for_permits_like_any_other() {
    let shop = Shop::new();
    let server = Server::start(|_, before| if before < 4 { Answer::TooMany(0) } else { Answer::Ok }).await;
    let asking = Consumer::new("asking").external(Asking(server.clone())).retry(quick(10));
    let app = shop.builder().consumer(asking.rate(Rate::per_second(10))).open().await.unwrap();
    create(&app, 0..4).await;
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(server.calls().len(), 20);
    server.assert_at_most(&server.calls(), 10.0);
    stop(running).await;
}

#[tokio::test]
async fn a_shared_rate_that_a_wrong_clock_has_moved_a_year_ahead_goes_on() {
    let shop = Shop::new();
    let noting = Noting::default();
    let consumer = Consumer::new("noting").handler(noting.clone()).rate(Rate::per_second(50).shared());
    let app = shop.builder().consumer(consumer).open().await.unwrap();
    let ahead = app.store().clock().await.unwrap().as_microsecond() * 1_000 + 365 * 86_400 * 1_000_000_000;
    let mut tx = app.begin().await.unwrap();
    let sql = "INSERT INTO fs_rates (handler, rate_key, next_at) VALUES ('noting', '', $1)";
    tx.sql(sql, params![ahead]).await.unwrap();
    tx.commit().await.unwrap();
    create(&app, 0..3).await;
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(noting.times(|_| true).len(), 3);
    stop(running).await;
}

#[tokio::test]
async fn a_limit_that_is_none_is_refused_when_the_application_is_opened() {
    let shop = Shop::new();
    for (rate, why) in [
        (Rate::per_second(0), "a number above 0"),
        (Rate::per_second(f64::NAN), "a number above 0"),
        (Rate::per_second(5).burst(0), "at least 1"),
    ] {
        let consumer = Consumer::new("noting").handler(Noting::default()).rate(rate);
        match shop.builder().consumer(consumer).open().await {
            Err(Error::Wiring(text)) => assert!(text.contains("noting") && text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}
