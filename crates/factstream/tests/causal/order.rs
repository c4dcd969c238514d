//! What comes before its cause waits for it.

use crate::common::{eventually, stop};
use crate::setup::{
    Facts, Setup, analytics, eventually_seen, eventually_waiting, note, nothing_is_left, of_analytics,
    payment, plain, publish, seen, waiting, what, write_down,
};
use factstream::{Causal, Consumer, Envelope, ExternalHandler, Failure, Late, Tx};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test]
async fn an_event_is_handled_after_its_cause_whatever_the_topic() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let placed = note("o-1", "placed", &[]);
    let paid = payment("p-1", "paid", &[&placed]);
    publish(&app, &[&paid]).await;
    eventually_waiting(&app, 1).await;
    let letters = app.dead_letters();
    let waits = letters.list(Some("analytics"), true, 0).await.unwrap().remove(0);
    assert_eq!((waits.state.as_str(), waits.attempts, waits.key.as_str()), ("waiting", 0, "p-1"));
    assert_eq!(waits.reason, Some(format!("waits for its cause {}", placed.id)));
    assert!(letters.list(None, false, 0).await.unwrap().is_empty(), "it is no dead letter");

    // Its own key waits behind it, in order; no other key does.
    publish(&app, &[&payment("p-1", "refunded", &[]), &payment("p-2", "another", &[])]).await;
    eventually_seen(&app, &["another"]).await;
    eventually("the key's next event is parked", || async { of_analytics(&app).await.parked == Some(1) })
        .await;
    assert_eq!(letters.show(waits.id).await.unwrap().parked.len(), 1);

    publish(&app, &[&placed]).await;
    eventually_seen(&app, &["another", "placed", "paid", "refunded"]).await;
    nothing_is_left(&app).await;
    assert!(letters.list(None, true, 0).await.unwrap().is_empty());
    // And what comes in the order of its causes never waits.
    let shipped = note("o-1", "shipped", &[&placed, &paid]);
    publish(&app, &[&shipped]).await;
    eventually_seen(&app, &["another", "placed", "paid", "refunded", "shipped"]).await;
    stop(running).await;
}

#[tokio::test]
async fn a_chain_of_causes_is_handled_from_its_beginning() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let first = note("o-1", "1", &[]);
    let second = payment("p-1", "2", &[&first]);
    let third = note("o-2", "3", &[&second]);
    let fourth = payment("p-2", "4", &[&third]);
    for (event, waiting) in [(&fourth, 1), (&second, 2), (&third, 3)] {
        publish(&app, &[event]).await;
        eventually_waiting(&app, waiting).await;
    }
    publish(&app, &[&first]).await;
    eventually_seen(&app, &["1", "2", "3", "4"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}

#[tokio::test]
async fn of_more_than_sixteen_ancestors_the_newest_sixteen_count() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let mut chain = vec![note("o-0", "0", &[])];
    for n in 1..20 {
        let cause = chain.last().unwrap();
        chain.push(match n % 2 {
            0 => note(&format!("o-{n}"), &n.to_string(), &[cause]),
            _ => payment(&format!("p-{n}"), &n.to_string(), &[cause]),
        });
    }
    let last = chain.pop().unwrap();
    assert_eq!(last.causes.iter().count(), 16);
    publish(&app, &[&last]).await;
    eventually_waiting(&app, 1).await;
    // The newest sixteen as if nothing had led to them, so that none of them waits; the oldest three never come.
    let ids: Vec<_> = chain.iter().map(|event| event.id).collect();
    for (n, id) in ids.into_iter().enumerate().skip(3) {
        let alone = match n % 2 {
            0 => note(&format!("o-{n}"), &n.to_string(), &[]),
            _ => payment(&format!("p-{n}"), &n.to_string(), &[]),
        };
        assert_eq!(seen(&app).await.len(), n - 3, "the last one waits for each of them");
        let mut message = alone.message.clone();
        message.headers = message
            .headers
            .iter()
            .map(|(name, value)| match name {
                "event_id" => (name.to_owned(), id.to_string().into_bytes()),
                _ => (name.to_owned(), value.to_vec()),
            })
            .collect();
        app.broker().publish(vec![message]).await.unwrap();
        eventually("it is handled", || async { seen(&app).await.len() > n - 3 }).await;
    }
    let expected: Vec<String> = (3..20).map(|n| n.to_string()).collect();
    eventually("the last one is handled", || async { seen(&app).await.len() == 17 }).await;
    assert_eq!(seen(&app).await, expected);
    nothing_is_left(&app).await;
    stop(running).await;
}

#[tokio::test]
async fn what_waits_goes_on_waiting_after_a_restart() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let placed = note("o-1", "placed", &[]);
    publish(&app, &[&payment("p-1", "paid", &[&placed])]).await;
    eventually_waiting(&app, 1).await;
    drop(running); // as abruptly as it can be within one process
    drop(app);
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    publish(&app, &[&payment("p-1", "refunded", &[])]).await;
    eventually("it is parked", || async { of_analytics(&app).await.parked == Some(1) }).await;
    assert_eq!(seen(&app).await, [""; 0]);
    publish(&app, &[&placed]).await;
    eventually_seen(&app, &["placed", "paid", "refunded"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}

#[tokio::test]
async fn only_causes_of_types_and_topics_that_it_takes_are_waited_for() {
    /// Payments only.
    struct Payments;

    impl factstream::Handler for Payments {
        type Events = crate::setup::PaymentEvent;

        async fn handle(&self, event: &Envelope<Self::Events>, tx: &mut Tx) -> Result<(), Failure> {
            let crate::setup::PaymentEvent::PaymentTaken { what } = &event.event;
            write_down(tx, what).await
        }
    }

    let setup = Setup::new();
    let consumer = plain(Payments).causal(Causal::wait(Duration::from_secs(600)));
    let app = setup.open(consumer).await;
    let running = app.start().await.unwrap();
    // An order is nothing that it takes; neither is a payment of another topic.
    let placed = note("o-1", "placed", &[]);
    let mut paid = payment("p-1", "paid", &[&placed]);
    let elsewhere = factstream::causes::Causes::default().and("e-1", "PaymentTaken", "other.events");
    paid = crate::setup::published(
        paid.id,
        "p-1",
        &crate::setup::PaymentEvent::PaymentTaken { what: "paid".into() },
        elsewhere.and(&placed.id.to_string(), "OrderNoted", "orders.events"),
    );
    publish(&app, &[&paid]).await;
    eventually_seen(&app, &["paid"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}

/// Asks somebody, and notes that it did.
#[derive(Clone, Default)]
struct Asking(Arc<Mutex<Vec<String>>>);

impl ExternalHandler for Asking {
    type Events = Facts;
    type Outcome = String;

    async fn call(&self, event: &Envelope<Facts>) -> Result<String, Failure> {
        let what = what(&event.event);
        self.0.lock().unwrap().push(what.clone());
        Ok(what)
    }

    async fn handle(&self, _: &Envelope<Facts>, outcome: &String, tx: &mut Tx) -> Result<(), Failure> {
        write_down(tx, outcome).await
    }
}

#[tokio::test]
async fn nobody_is_called_for_an_event_before_its_cause_is_handled() {
    let setup = Setup::new();
    let asking = Asking::default();
    let consumer =
        Consumer::new("analytics").external(asking.clone()).causal(Causal::wait(Duration::from_secs(600)));
    let app = setup.open(consumer).await;
    let running = app.start().await.unwrap();
    let placed = note("o-1", "placed", &[]);
    let paid = payment("p-1", "paid", &[&placed]);
    publish(&app, &[&paid]).await;
    eventually_waiting(&app, 1).await;
    assert_eq!(*asking.0.lock().unwrap(), [""; 0]);
    let shipped = note("o-2", "shipped", &[&paid]);
    publish(&app, &[&shipped, &placed]).await;
    eventually_seen(&app, &["placed", "paid", "shipped"]).await;
    assert_eq!(*asking.0.lock().unwrap(), ["placed", "paid", "shipped"], "each once");
    nothing_is_left(&app).await;
    stop(running).await;
}

#[tokio::test]
async fn a_cause_that_the_inbox_cannot_know_any_more_is_not_waited_for() {
    let setup = Setup::new();
    let app = setup.open(waiting(Duration::from_secs(3_600), Late::Handle)).await;
    let running = app.start().await.unwrap();
    let millis = factstream::sql::now().as_millisecond() - 40 * 24 * 3_600_000;
    let (seconds, nanos) = (u64::try_from(millis / 1_000).unwrap(), 0);
    let old = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos));
    let causes = factstream::causes::Causes::default().and(&old.to_string(), "OrderNoted", "orders.events");
    let event = crate::setup::PaymentEvent::PaymentTaken { what: "paid".into() };
    publish(&app, &[&crate::setup::published(uuid::Uuid::now_v7(), "p-1", &event, causes)]).await;
    eventually_seen(&app, &["paid"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}
