//! Consumers through releases: topics that move, types that are added, two services with one name.

use crate::builds::{Effects, effects, make_effects, number, write_effect};
use crate::common::{Do, Shop, eventually, settled, stop};
use factstream::message::Message;
use factstream::status::State;
use factstream::{Consumer, Envelope, Error, Event, Failure, Handler, Projection, Projector, Rows, Tx};
use serde::{Deserialize, Serialize};

/// What a release handles: fewer types than the next one.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(topic = "orders.events")]
enum Created {
    #[event(name = "OrderCreated")]
    Created {},
}

/// The same type, which a later release publishes to a topic of its own.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(topic = "orders.created")]
enum Moved {
    #[event(name = "OrderCreated")]
    Created {},
}

struct OnlyCreated;

impl Handler for OnlyCreated {
    type Events = Created;

    async fn handle(&self, event: &Envelope<Created>, tx: &mut Tx) -> Result<(), Failure> {
        write_effect("c", event, tx).await
    }
}

impl Projector for OnlyCreated {
    type Events = Created;

    async fn project(&self, event: &Envelope<Created>, rows: &mut Rows) -> Result<(), Failure> {
        write_effect("c", event, rows).await
    }
}

struct OnMoved;

impl Handler for OnMoved {
    type Events = Moved;

    async fn handle(&self, event: &Envelope<Moved>, tx: &mut Tx) -> Result<(), Failure> {
        write_effect("c", event, tx).await
    }
}

fn c() -> Consumer {
    Consumer::new("c")
}

#[tokio::test]
async fn two_services_cannot_share_a_consumer_but_a_service_may_change_its_name() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let open = |service: &str, formerly: Option<&str>| {
        let builder = shop.bare().service(service).consumer(c().handler(Effects("c")));
        match formerly {
            Some(name) => builder.formerly(name).open(),
            None => builder.open(),
        }
    };
    open("orders", None).await.unwrap();
    let refused = open("payments", None).await.err().unwrap().to_string();
    assert!(refused.contains("belongs to the service orders") && refused.contains("formerly"), "{refused}");
    let app = open("payments", Some("orders")).await.unwrap();
    assert_eq!(app.handlers().await.unwrap()[0].service, "payments");
    assert!(open("orders", None).await.is_err(), "now it is the other one's");
}

#[tokio::test]
async fn a_consumer_does_not_become_a_projection() {
    let shop = Shop::new();
    make_effects(&shop).await;
    shop.builder().consumer(c().handler(Effects("c"))).open().await.unwrap();
    let refused = shop.builder().projection(Projection::new("c", Effects("c"))).open().await.err().unwrap();
    assert!(refused.to_string().contains("was a consumer before"), "{refused}");
}

#[tokio::test]
async fn what_is_unread_on_an_events_old_topic_is_handled_when_its_topic_changes() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let old = shop.builder().consumer(c().handler(OnlyCreated)).open().await.unwrap();
    let running = old.start().await.unwrap();
    old.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&old).await;
    stop(running).await;
    // Published while no consumer runs.
    let relay_only = shop.open().await;
    let running = relay_only.start().await.unwrap();
    relay_only.execute("o-2", Do::Create(2)).await.unwrap();
    settled(&relay_only).await;
    stop(running).await;

    let builder = shop.bare().service("shop"); // which does not emit the event itself
    let new = builder.consumer(c().handler(OnMoved)).open().await.unwrap();
    let running = new.start().await.unwrap();
    let message = Message {
        topic: "orders.created".into(),
        key: Some(b"o-3".to_vec()),
        value: Some(b"{\"aggregate_id\":\"o-3\"}".to_vec()),
        headers: [("event_type", "OrderCreated"), ("event_id", "0198b9a4-0000-7000-8000-000000000003")]
            .into_iter()
            .collect(),
        timestamp: factstream::sql::now(),
    };
    new.broker().publish(vec![message]).await.unwrap();
    eventually("both topics are read", || async { effects(&new, "c").await == (3, 3) }).await;
    let topics = new.handlers().await.unwrap().remove(0).topics;
    assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["orders.created", "orders.events"]);
    stop(running).await;
}

#[tokio::test]
async fn a_type_that_an_earlier_build_passed_over_is_found_at_open() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let old = shop.builder().consumer(c().handler(OnlyCreated)).open().await.unwrap();
    let running = old.start().await.unwrap();
    old.execute("o-1", Do::Create(1)).await.unwrap();
    old.execute("o-1", Do::Note("passed over".into())).await.unwrap();
    settled(&old).await;
    stop(running).await;
    let refused = shop.builder().consumer(c().handler(Effects("c"))).open().await.err().unwrap();
    assert!(matches!(&refused, Error::Wiring(text) if text.contains("1 of OrderNoted")), "{refused}");
    let new = shop.builder().consumer(c().handler(Effects("c")).leave_skipped()).open().await.unwrap();
    let running = new.start().await.unwrap();
    new.execute("o-1", Do::Note("seen".into())).await.unwrap();
    settled(&new).await;
    assert_eq!(effects(&new, "c").await, (2, 2));
    stop(running).await;
}

#[tokio::test]
async fn a_projection_that_adds_a_type_which_it_passed_over_is_refused_too() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let old = shop.builder().projection(Projection::new("p", OnlyCreated)).open().await.unwrap();
    let running = old.start().await.unwrap();
    old.execute("o-1", Do::Create(1)).await.unwrap();
    old.execute("o-1", Do::Close).await.unwrap();
    crate::builds::caught_up(&old, "p").await;
    stop(running).await;
    let refused = shop.builder().projection(Projection::new("p", Effects("p"))).open().await.err().unwrap();
    assert!(matches!(&refused, Error::Wiring(text) if text.contains("1 of OrderClosed")), "{refused}");
    let projection = Projection::new("p", Effects("p")).leave_skipped();
    shop.builder().projection(projection).open().await.unwrap();
}

#[tokio::test]
async fn an_old_member_passes_nothing_over_once_the_new_release_is_open() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let old = shop.builder().consumer(c().handler(OnlyCreated)).open().await.unwrap();
    let old_running = old.start().await.unwrap();
    old.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&old).await;
    let new = shop.builder().consumer(c().handler(Effects("c"))).open().await.unwrap();
    // The old process still has the lease. It must not read on over what it does not know.
    for n in 0..20 {
        new.execute(format!("o-{n}"), Do::Note("new".into())).await.unwrap();
    }
    let new_running = new.start().await.unwrap();
    eventually("the old one stands by", || async {
        matches!(old.status().await.handlers[0].state, State::Outdated { .. })
    })
    .await;
    eventually("the new one has handled all", || async { effects(&new, "c").await == (21, 21) }).await;
    assert_eq!(number(&new, "SELECT count(*) FROM fs_skipped_types").await, 0);
    stop(old_running).await;
    stop(new_running).await;
}

#[tokio::test]
async fn a_consumers_next_offsets_are_written_with_its_effects() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let app = shop.builder().consumer(c().handler(Effects("c"))).open().await.unwrap();
    let running = app.start().await.unwrap();
    for n in 0..7 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    settled(&app).await;
    let sql = "SELECT CAST(sum(next_offset) AS BIGINT) FROM fs_offsets WHERE handler = 'c' AND topic = 'orders.events'";
    assert_eq!(number(&app, sql).await, 7);
    stop(running).await;
}
