//! Messages of topics as inputs: another service's events and another team's JSON, on a real broker: the embedded one, or with
//! `FACTSTREAM_TEST_BROKER=kafka` Apache Kafka.

use crate::checkout::settled;
use crate::common::{Do, Order, OrderEvent, Shop, eventually, quick, stop};
use factstream::dead_letters::Bytes;
use factstream::envelope::{Metadata, RecordedEvent};
use factstream::message::{Headers, Message};
use factstream::process::Taken;
use factstream::sql::now;
use factstream::{
    Acts, Aggregate, App, Builder, Correlate, DeclareProcess, Envelope, Event, EventSet, Failure, Input,
    Missing, Process, ResetTo, Start, Topic, params,
};
use factstream_tests::kafka;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

/// Of the payment service, which has a store of its own.
#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(topic = "payments.events")]
enum PaymentEvent {
    PaymentTaken { order_id: String, cents: i64 },
    PaymentGivenBack { order_id: String },
}

/// Of a bank, whose records say nothing but this, and more that is of no interest.
#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(topic = "bank.transfers")]
enum BankEvent {
    TransferBooked { reference: String, cents: i64 },
}

#[derive(EventSet)]
enum Facts {
    Order(OrderEvent),
    Payment(PaymentEvent),
    Bank(BankEvent),
}

/// Money for orders: notes each payment on its order, and closes the order when the bank has booked it.
#[derive(Default, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Settling {
    seen: Vec<String>,
    /// What was known of the last message.
    from: Vec<String>,
}

impl Process for Settling {
    const NAME: &'static str = "settling";
    type Events = Facts;

    fn correlate(event: &Envelope<Facts>) -> Correlate {
        match &event.event {
            Facts::Order(OrderEvent::Created { .. }) => Correlate::start(&event.aggregate_id),
            Facts::Order(_) => Correlate::none(),
            Facts::Payment(
                PaymentEvent::PaymentTaken { order_id, .. } | PaymentEvent::PaymentGivenBack { order_id },
            ) => Correlate::go_on(order_id).or(Missing::Skip),
            Facts::Bank(BankEvent::TransferBooked { reference, .. }) => match reference.as_str() {
                "" => panic!("told to"),
                "of no order" => Correlate::none(),
                named if named.starts_with("pm-") => Correlate::go_on_by("payment", named),
                both => both.split('+').map(Correlate::start).collect(),
            },
        }
    }

    fn react(&mut self, input: Input<'_, Facts>, acts: &mut Acts) -> Result<(), Failure> {
        let Input::Event(event) = input else { return Ok(()) };
        self.from = [&event.event_id, &event.source].map(Clone::clone).to_vec();
        self.from.extend([event.topic.clone().unwrap_or_default(), event.timestamp.to_string()]);
        match &event.event {
            Facts::Order(_) => self.seen.push(event.event_type.clone()),
            Facts::Payment(PaymentEvent::PaymentTaken { cents, .. }) if *cents < 0 => {
                return Err(Failure::permanent("less than nothing"));
            }
            Facts::Payment(PaymentEvent::PaymentTaken { order_id, cents }) => {
                self.seen.push(format!("paid {cents}"));
                if event.aggregate_id.starts_with("pm-") {
                    acts.alias("payment", &event.aggregate_id);
                }
                acts.command::<Order, _>(order_id, Do::Note(format!("paid {cents}")));
                acts.timer("bank").after(std::time::Duration::from_secs(3_600));
            }
            Facts::Payment(PaymentEvent::PaymentGivenBack { .. }) => self.seen.push("given back".into()),
            Facts::Bank(BankEvent::TransferBooked { cents, .. }) => {
                self.seen.push(format!("booked {cents}"));
                acts.cancel("bank");
            }
        }
        Ok(())
    }
}

/// Payments that are recorded in this very store.
#[derive(Default, Clone)]
struct Payment;

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Event = PaymentEvent;
    fn apply(&mut self, _: &PaymentEvent) {}
}

/// A store, and a namespace of its own in the broker.
struct Setup {
    shop: Shop,
    namespace: String,
}

impl Setup {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let namespace = format!("topics{}.", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { shop: Shop::new(), namespace }
    }

    fn builder(&self) -> Builder {
        let builder = self.shop.builder().namespace(self.namespace.clone());
        match std::env::var("FACTSTREAM_TEST_BROKER").as_deref() {
            Ok("kafka") => builder.broker(kafka::server()),
            _ => builder,
        }
    }

    fn process(&self) -> DeclareProcess<Settling> {
        let process = self.builder().process::<Settling>().retry(quick(2));
        process.topics_of::<PaymentEvent>().json_topics_of::<BankEvent>()
    }

    async fn open(&self) -> App {
        self.process().from(Start::Beginning).open().await.unwrap()
    }
}

/// A message of the payment service, as its relay publishes it.
fn payment(key: &str, event: &PaymentEvent) -> Message {
    let topic = event.event_type().topic.map(str::to_owned);
    let metadata = Metadata { source: "payment".into(), topic, ..Metadata::default() };
    let recorded = RecordedEvent {
        position: 7,
        aggregate_type: "payment".into(),
        aggregate_id: key.to_owned(),
        version: 1,
        event_id: Uuid::now_v7(),
        event_type: event.event_type().name.to_owned(),
        schema_version: 1,
        data: event.encode().unwrap().into(),
        metadata: serde_json::to_string(&metadata).unwrap(),
        timestamp: now(),
    };
    Message::of(&recorded).unwrap().unwrap()
}

fn taken(key: &str, order_id: &str, cents: i64) -> Message {
    payment(key, &PaymentEvent::PaymentTaken { order_id: order_id.into(), cents })
}

/// A record of the bank's, without a key.
fn booked(value: &str) -> Message {
    let (topic, value) = ("bank.transfers".into(), Some(value.as_bytes().to_vec()));
    Message { topic, key: None, value, headers: Headers::new(), timestamp: now() }
}

async fn publish(app: &App, messages: impl IntoIterator<Item = Message>) {
    app.broker().publish(messages.into_iter().collect()).await.unwrap();
}

async fn create(app: &App, ids: &[&str]) {
    for id in ids {
        app.execute(*id, Do::Create(1)).await.unwrap();
    }
    settled(app).await;
}

async fn seen(app: &App, id: &str) -> Vec<String> {
    app.process::<Settling>().get(id).await.unwrap().map(|instance| instance.state.seen).unwrap_or_default()
}

async fn notes(app: &App, id: &str) -> Vec<String> {
    app.load::<Order>(id).await.unwrap().0.notes
}

#[tokio::test]
async fn a_message_is_an_input_once_as_a_consumer_would_see_it_and_the_history_has_it() {
    let setup = Setup::new();
    let app = setup.open().await;
    let running = app.start().await.unwrap();
    create(&app, &["o-1"]).await;
    let paid = taken("p-1", "o-1", 500);
    publish(&app, [paid.clone(), paid.clone(), taken("p-2", "nobody", 1)]).await;
    publish(&app, [paid.clone()]).await;
    settled(&app).await;
    let settlings = app.process::<Settling>();
    let instance = settlings.get("o-1").await.unwrap().unwrap();
    assert_eq!(instance.state.seen, ["OrderCreated", "paid 500"]);
    let id = String::from_utf8(paid.headers.get("event_id").unwrap().to_vec()).unwrap();
    let known = [id.as_str(), "payment", "payments.events", &paid.timestamp.to_string()];
    assert_eq!(instance.state.from, known);
    assert_eq!(notes(&app, "o-1").await, ["paid 500"]);
    let timers = app.timers().of(Settling::NAME, "o-1").list().await.unwrap();
    assert_eq!(timers.len(), 1);
    assert!(settlings.get("nobody").await.unwrap().is_none());

    let history = settlings.history("o-1", 0, 10).await.unwrap();
    assert!(
        matches!(&history[1].input, Taken::Event { event_type, .. } if event_type == "PaymentTaken"),
        "{history:?}"
    );
    assert_eq!(settlings.state_at("o-1", 2).await.unwrap().unwrap(), instance.state);
    assert_eq!(settlings.rebuild("o-1").await.unwrap(), instance.state);
    // What the command recorded tells the way back to the message.
    let log = app.read_log(0, 100).await.unwrap();
    let note = log.iter().find(|event| event.event_type == "OrderNoted").unwrap().envelope().unwrap();
    let fact = log.iter().find(|event| event.event_id.to_string() == note.causation_id.clone().unwrap());
    let fact = fact.unwrap().envelope().unwrap();
    assert_eq!((fact.causation_id.as_deref(), fact.topic), (Some(id.as_str()), None));
    assert_eq!(note.causes.iter().next().unwrap().id, id);
    stop(running).await;
}

#[tokio::test]
async fn a_message_that_comes_by_an_alias_finds_its_instance_whichever_topic_is_first() {
    let setup = Setup::new();
    let app = setup.open().await;
    let running = app.start().await.unwrap();
    create(&app, &["o-1"]).await;
    publish(&app, [booked(r#"{"reference":"pm-1","cents":5}"#)]).await;
    settled(&app).await;
    let letters = app.dead_letters().list(Some(Settling::NAME), false, 0).await.unwrap();
    assert_eq!(letters[0].key, "payment=pm-1", "nobody has it yet");
    publish(&app, [taken("pm-1", "o-1", 5)]).await;
    settled(&app).await;
    publish(&app, [booked(r#"{"reference":"pm-1","cents":6}"#)]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await, ["OrderCreated", "paid 5", "booked 5", "booked 6"]);
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    stop(running).await;
}

#[tokio::test]
async fn an_event_that_lies_in_this_log_too_is_taken_from_its_topic_alone() {
    let setup = Setup::new();
    let builder = setup.process().from(Start::Beginning).aggregate::<Payment>();
    let app = builder.open().await.unwrap();
    let running = app.start().await.unwrap();
    create(&app, &["o-1"]).await;
    let mut tx = app.begin().await.unwrap();
    let paid = [PaymentEvent::PaymentTaken { order_id: "o-1".into(), cents: 3 }];
    tx.append::<Payment>("p-1", &paid).await.unwrap();
    tx.commit().await.unwrap();
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await, ["OrderCreated", "paid 3"]);
    assert_eq!(notes(&app, "o-1").await, ["paid 3"]);
    stop(running).await;
}

#[tokio::test]
async fn another_teams_json_is_an_input_and_what_cannot_be_read_or_told_is_a_letter_of_the_topics() {
    let setup = Setup::new();
    let app = setup.open().await;
    let running = app.start().await.unwrap();
    create(&app, &["o-1"]).await;
    publish(&app, [taken("p-1", "o-1", 500)]).await;
    settled(&app).await;
    publish(&app, [booked(r#"{"reference":"o-1+o-2","cents":500,"iban":"AT1","more":{"a":[1]}}"#)]).await;
    publish(&app, [booked(r#"{"reference":"of no order","cents":1}"#)]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await, ["OrderCreated", "paid 500", "booked 500"]);
    assert_eq!(seen(&app, "o-2").await, ["booked 500"], "each instance that it concerns takes it");
    assert!(app.timers().of(Settling::NAME, "o-1").list().await.unwrap().is_empty());
    let facts = "SELECT count(*) AS found FROM events WHERE event_type LIKE 'fs:%'";
    let facts = app.store().query(facts, params![]).await.unwrap()[0].get::<u64>("found").unwrap();
    assert_eq!(facts, 2, "one for each message that concerns somebody");

    publish(&app, [booked("Jane Doe")]).await;
    settled(&app).await;
    let letters = app.dead_letters();
    let letter = letters.list(Some("settling-inputs"), false, 0).await.unwrap().remove(0);
    let reason = letter.reason.unwrap();
    assert!(!reason.contains("Jane"), "{reason}");
    letters.edit(letter.id, r#"{"reference":"","cents":7}"#).await.unwrap();
    settled(&app).await;
    let reason = letters.list(Some("settling-inputs"), false, 0).await.unwrap().remove(0).reason.unwrap();
    assert!(reason.contains("settling cannot tell which instances this message concerns"), "{reason}");
    letters.edit(letter.id, r#"{"reference":"o-3","cents":7}"#).await.unwrap();
    settled(&app).await;
    assert_eq!(seen(&app, "o-3").await, ["booked 7"]);
    stop(running).await;
}

#[tokio::test]
async fn a_message_that_fails_blocks_its_instance_and_no_other_whatever_keys_the_messages_have() {
    let setup = Setup::new();
    let app = setup.open().await;
    let running = app.start().await.unwrap();
    create(&app, &["o-1", "o-2"]).await;
    publish(&app, [taken("p-1", "o-1", -5)]).await;
    settled(&app).await;
    publish(&app, [taken("p-1", "o-2", 2), taken("p-2", "o-1", 1)]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await, ["OrderCreated"], "it waits, whatever key its messages have");
    assert_eq!(seen(&app, "o-2").await, ["OrderCreated", "paid 2"]);
    let letters = app.dead_letters();
    let dead = letters.list(None, false, 0).await.unwrap();
    assert_eq!((dead.len(), dead[0].handler.as_str(), dead[0].key.as_str()), (1, "settling", "o-1"));
    assert_eq!((dead[0].reason.as_deref(), dead[0].parked_behind), (Some("less than nothing"), 1));

    app.execute("o-1", Do::Note("in between".into())).await.unwrap();
    let shown = letters.show(dead[0].id).await.unwrap();
    let Some(Bytes::Text(value)) = shown.value else { panic!("{shown:?}") };
    let edited = value.replace("-5", "5");
    letters.edit(dead[0].id, r#"{"order_id":"o-1","cents":5}"#).await.unwrap();
    settled(&app).await;
    let reason = letters.list(None, false, 0).await.unwrap().remove(0).reason.unwrap();
    assert!(reason.contains("fs:settling:PaymentTaken"), "{reason}");
    letters.edit(dead[0].id, &edited).await.unwrap();
    settled(&app).await;
    let live = app.process::<Settling>().get("o-1").await.unwrap().unwrap();
    assert_eq!(live.state.seen, ["OrderCreated", "paid 5", "paid 1"]);
    let again = app.process::<Settling>().state_at("o-1", live.version).await.unwrap().unwrap();
    assert_eq!(again, live.state);
    assert_eq!(notes(&app, "o-1").await, ["in between", "paid 5", "paid 1"]);
    stop(running).await;
}

const ROUNDS: i64 = 3;

#[tokio::test]
async fn two_owners_that_come_and_go_take_each_message_once() {
    let setup = Setup::new();
    let lanes = || setup.process().concurrency(4).batch(8).from(Start::Beginning);
    let app = lanes().open().await.unwrap();
    let orders: Vec<String> = (0..6).map(|n| format!("o-{n}")).collect();
    for id in &orders {
        app.execute(id, Do::Create(1)).await.unwrap();
    }
    let mut started = vec![app.start().await.unwrap()];
    for round in 0..ROUNDS {
        let one = orders.iter().enumerate().map(|(n, id)| taken(&format!("p-{}", n % 4), id, round));
        let one: Vec<Message> = one.collect();
        publish(&app, one.clone()).await;
        publish(&app, one).await;
        let other = lanes().open().await.unwrap();
        started.push(other.start().await.unwrap());
        let facts = "SELECT count(*) AS found FROM events WHERE event_type LIKE 'fs:%'";
        let enough = u64::try_from(round).unwrap() * 6;
        eventually("some of it is taken in", async || {
            let rows = app.store().query(facts, params![]).await.unwrap();
            rows[0].get::<u64>("found").unwrap() > enough
        })
        .await;
        drop(started.remove(0)); // everything stops where it is
    }
    settled(&app).await;
    for id in &orders {
        let mut seen = seen(&app, id).await;
        assert_eq!(seen.remove(0), "OrderCreated");
        let wanted: Vec<String> = (0..ROUNDS).map(|round| format!("paid {round}")).collect();
        assert_eq!(seen, wanted, "{id}");
        assert_eq!(notes(&app, id).await, wanted, "{id}");
    }
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    for running in started {
        stop(running).await;
    }
}

#[tokio::test]
async fn a_process_that_starts_now_leaves_out_what_its_topics_have_and_goes_on_where_it_stands() {
    let setup = Setup::new();
    let topic = |name: &str| Topic::new(name, 2);
    let before = setup.builder().topic(topic("bank.transfers")).topic(topic("payments.events"));
    let before = before.open().await.unwrap();
    let bank = |name: &str| booked(&format!(r#"{{"reference":"{name}","cents":1}}"#));
    publish(&before, ["before-1", "before-2"].map(bank)).await;
    drop(before);

    // One that knows no bank yet; of payments, nothing is there.
    let payments = || setup.builder().process::<Settling>().topics_of::<PaymentEvent>().from(Start::Now);
    let app = payments().open().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    publish(&app, [taken("p-1", "o-1", 1)]).await;
    publish(&app, ["before-3", "before-4"].map(bank)).await;
    drop(app);

    // Another build, which reads the bank's from now on, and goes on with payments where the first one stood.
    let now = || setup.process().from(Start::Now);
    let app = now().open().await.unwrap();
    publish(&app, [bank("o-1")]).await;
    drop(app);
    let app = now().open().await.unwrap();
    let running = app.start().await.unwrap();
    eventually("both are taken", async || seen(&app, "o-1").await.len() == 3).await;
    settled(&app).await;
    let rows = app.store().query("SELECT process_id FROM fs_processes", params![]).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    stop(running).await;
}

#[tokio::test]
async fn what_was_taken_in_can_be_verified_and_is_not_taken_in_again() {
    let setup = Setup::new();
    let app = setup.open().await;
    let running = app.start().await.unwrap();
    create(&app, &["o-1"]).await;
    publish(&app, [taken("p-1", "o-1", 1), booked(r#"{"reference":"o-1","cents":1}"#)]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await.len(), 3);
    let catalogue = setup.process().from(Start::Beginning).events().unwrap();
    let matrix = catalogue.verify(&app, |_| {}).await.unwrap();
    assert!(matrix.passes(), "{matrix:?}");
    assert!(matrix.rows.iter().any(|row| row.event == "fs:settling:PaymentTaken"), "{matrix:?}");
    // One that knows no payments cannot read them.
    let others = setup.builder().events().unwrap().verify(&app, |_| {}).await.unwrap();
    let mut unread: Vec<&str> =
        others.rows.iter().filter(|row| row.unreadable > 0).map(|row| row.event.as_str()).collect();
    unread.sort_unstable();
    assert_eq!(unread, ["fs:settling:BankTransferBooked", "fs:settling:PaymentTaken"]);
    stop(running).await;

    let plan = app.plan_reset("settling-inputs", ResetTo::Beginning).await.unwrap();
    let refused = app.reset(&plan, true).await.unwrap_err().to_string();
    assert!(refused.contains("feeds the process settling, which does not go back"), "{refused}");
    eventually("the members have left", async || app.reset(&plan, false).await.is_ok()).await;
    let running = app.start().await.unwrap();
    publish(&app, [taken("p-1", "o-1", 2)]).await;
    eventually("it goes on", async || seen(&app, "o-1").await.len() >= 4).await;
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await.len(), 4, "what it has handled has no second effect");
    stop(running).await;
}

/// Takes payments only.
#[derive(Default, Serialize, Deserialize)]
struct Named<const COLON: bool>;

impl<const COLON: bool> Process for Named<COLON> {
    const NAME: &'static str = if COLON { "a:b" } else { "named" };
    type Events = PaymentEvent;

    fn correlate(event: &Envelope<PaymentEvent>) -> Correlate {
        Correlate::start(&event.aggregate_id)
    }

    fn react(&mut self, _: Input<'_, PaymentEvent>, _: &mut Acts) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Event, Serialize, Deserialize)]
enum Private {
    #[event(private)]
    Whispered {},
}

#[tokio::test]
async fn topics_that_cannot_be_read_are_refused() {
    let shop = Shop::new();
    let refused = async |builder: Builder| builder.open().await.err().unwrap().to_string();
    let stranger = shop.builder().process::<Named<false>>().json_topics_of::<BankEvent>();
    let reason = refused(stranger.from(Start::Now)).await;
    assert!(reason.contains("named reads BankTransferBooked from a topic and is not given it"), "{reason}");
    let twins = shop.builder().process::<Named<false>>().json_topics_of::<PaymentEvent>();
    let reason = refused(twins.from(Start::Now)).await;
    assert!(reason.contains("JSON of the topic payments.events as PaymentTaken and as Payment"), "{reason}");
    let colon = shop.builder().process::<Named<true>>().topics_of::<PaymentEvent>();
    let reason = refused(colon.from(Start::Now)).await;
    assert!(reason.contains("its name must not have a ':'"), "{reason}");
    let private = shop.builder().process::<Named<false>>().topics_of::<Private>();
    let reason = refused(private.from(Start::Now)).await;
    assert!(reason.contains("is not given it"), "{reason}");
}
