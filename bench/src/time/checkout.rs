//! X1: a process that takes each order that was placed: it keeps a state, asks for the payment and sets a timer.
//!
//! The clock runs from the first input to the last commit: how soon a handler begins is another question.

use super::store::{Own, count, wait_until};
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use factstream::{
    Acts, Aggregate, App, Builder, Command, Correlate, Envelope, Event, Failure, Input, Process, Start,
};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) const PROCESS: &str = "checkout";
pub(super) const TIMER: &str = "payment";
pub(super) const PAYMENT_DUE: Duration = Duration::from_secs(15 * 60);
const ORDERS_IN_A_CALL: u64 = 500;
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The input. Private, as all here: nothing goes to a topic.
#[derive(Event, Serialize, Deserialize)]
pub(super) enum OrderEvent {
    #[event(name = "OrderPlaced", version = 1, private)]
    Placed { customer_id: String, cents: u64 },
}

#[derive(Default, Clone)]
struct Order;

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;

    fn apply(&mut self, _: &OrderEvent) {}
}

struct PlaceOrder {
    customer_id: String,
    cents: u64,
}

impl Command<Order> for PlaceOrder {
    type Error = Infallible;

    fn decide(&self, _: &Order) -> Result<Vec<OrderEvent>, Infallible> {
        Ok(vec![OrderEvent::Placed { customer_id: self.customer_id.clone(), cents: self.cents }])
    }
}

/// What the process's command comes to.
#[derive(Event, Serialize, Deserialize)]
pub(super) enum PaymentEvent {
    #[event(name = "PaymentRequested", version = 1, private)]
    Requested { cents: u64 },
}

#[derive(Default, Clone)]
struct Payment {
    is_requested: bool,
}

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Event = PaymentEvent;

    fn apply(&mut self, _: &PaymentEvent) {
        self.is_requested = true;
    }
}

#[derive(Debug)]
struct RequestPayment {
    cents: u64,
}

impl Command<Payment> for RequestPayment {
    type Error = Infallible;

    fn decide(&self, payment: &Payment) -> Result<Vec<PaymentEvent>, Infallible> {
        Ok(match payment.is_requested {
            true => Vec::new(),
            false => vec![PaymentEvent::Requested { cents: self.cents }],
        })
    }
}

/// What an instance keeps.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Checkout {
    pub(super) customer_id: String,
    pub(super) cents: u64,
}

/// What the benchmark has to know of the process, which is pure: each run is a process of its own.
static BEGAN: OnceLock<Instant> = OnceLock::new();
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Process for Checkout {
    const NAME: &'static str = PROCESS;
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        BEGAN.get_or_init(Instant::now);
        Correlate::start(&event.aggregate_id)
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
        if let Input::Event(event) = input {
            let OrderEvent::Placed { customer_id, cents } = &event.event;
            (self.customer_id, self.cents) = (customer_id.clone(), *cents);
            acts.command::<Payment, _>(&event.aggregate_id, RequestPayment { cents: *cents });
            acts.timer(TIMER).after(PAYMENT_DUE);
            TAKEN.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn builder(url: &str) -> Builder {
    App::builder(url).aggregate::<Order>().aggregate::<Payment>()
}

/// A store with as many orders as the contest's size, and nothing else.
pub(super) async fn place_orders(own: &Own, orders: u64) -> Result<(), Failed> {
    let app = builder(&own.url).open().await?;
    for first in (0..orders).step_by(usize::try_from(ORDERS_IN_A_CALL)?) {
        let numbers = first..orders.min(first + ORDERS_IN_A_CALL);
        let commands = numbers.map(|number| (format!("order-{number}"), order(number)));
        for outcome in app.execute_all::<Order, _>(commands).await? {
            outcome?;
        }
    }
    Ok(())
}

fn order(number: u64) -> PlaceOrder {
    PlaceOrder { customer_id: format!("customer-{}", number % 1_000), cents: 1_999 * (number % 7 + 1) }
}

pub(super) async fn run(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    place_orders(&own, place.size).await?;
    let app = builder(&own.url).process::<Checkout>().from(Start::Beginning).open().await?;
    let running = app.start().await?;
    let is_near = || TAKEN.load(Ordering::Relaxed) >= place.size;
    wait_until(&app, is_near, "SELECT count(*) FROM fs_processes", place.size).await?;
    let figures = Figures::rate(place.size, *BEGAN.get().ok_or("nothing was taken")?);
    running.stop(STOP_WITHIN).await;
    check(&app, place.size).await?;
    Ok(figures)
}

/// Each order has its instance, its step, its timer, its payment and its mark, once.
pub(super) async fn check(app: &App, orders: u64) -> Result<(), Failed> {
    for what in [
        "fs_processes WHERE version = 1",
        "fs_process_history",
        "fs_timers WHERE wakes_at > set_at",
        "fs_inbox",
        "events WHERE event_type = 'PaymentRequested'",
    ] {
        let found = count(app.store().as_ref(), &format!("SELECT count(*) FROM {what}")).await?;
        if found != orders {
            return Err(format!("{found} are {what}; {orders} were to be").into());
        }
    }
    let head = app.head().await?;
    match head == orders * 2 {
        true => Ok(()),
        false => Err(format!("the log's head is {head}").into()),
    }
}
