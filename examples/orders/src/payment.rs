//! The payment service: the aggregate Payment (one for each order), and the consumer that asks the gateway.
//!
//! Invariants: one charge and one refund per order, ever: the gateway is given the event's identity as its idempotency key, and
//! the outcome is recorded exactly once. Only an approved payment is refunded.

use crate::amount::{self, Priced};
use crate::gateway::{Answer, Gateway, NoAnswer};
use factstream::{
    Aggregate, Command, Consumer, Envelope, Event, ExternalHandler, Failure, Handler, Rate, Retry, Shape, Tx,
};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The consumer group.
pub const SERVICE: &str = "payment";
/// Orders that are charged at the same time.
const CONCURRENCY: usize = 8;
/// A gateway that is down for a while is not a reason to give an order up: about half a minute in all.
const RETRY: Retry = Retry {
    max_attempts: 10,
    initial: Duration::from_millis(50),
    factor: 2.0,
    max_delay: Duration::from_secs(5),
    jitter: 0.2,
};

/// What happened to an order's payment.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "payments.events")]
pub enum PaymentEvent {
    /// The gateway has answered.
    #[event(name = "PaymentProcessed", version = 1)]
    Processed {
        /// The order.
        order_id: String,
        /// The gateway's name for the payment.
        payment_id: String,
        /// How much.
        amount_cents: u64,
        /// What it said.
        status: PaymentStatus,
        /// Why it was declined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The order was cancelled: the money goes back.
    #[event(name = "PaymentRefundRequested", version = 1)]
    RefundRequested {
        /// The order.
        order_id: String,
        /// The payment.
        payment_id: String,
        /// How much.
        amount_cents: u64,
    },
    /// The money is back.
    #[event(name = "PaymentRefunded", version = 1)]
    Refunded {
        /// The order.
        order_id: String,
        /// The payment.
        payment_id: String,
        /// How much.
        amount_cents: u64,
    },
}

/// What the gateway said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
#[serde(rename_all = "UPPERCASE")]
pub enum PaymentStatus {
    /// The money is taken.
    Approved,
    /// It is not.
    Declined,
}

/// An order's payment; the aggregate's id is the order's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Payment {
    /// Nothing was charged yet.
    #[default]
    None,
    /// The money is taken.
    Approved(Paid),
    /// It was not, and will not be.
    Declined,
    /// The order was cancelled; the gateway is being asked for the money.
    Refunding(Paid),
    /// The money is back.
    Refunded,
}

/// What was paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The gateway's name for it.
    pub payment_id: String,
    /// How much.
    pub amount_cents: u64,
}

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Event = PaymentEvent;

    fn apply(&mut self, event: &PaymentEvent) {
        *self = match event {
            PaymentEvent::Processed { payment_id, amount_cents, status, .. } => match status {
                PaymentStatus::Approved => {
                    Self::Approved(Paid { payment_id: payment_id.clone(), amount_cents: *amount_cents })
                }
                PaymentStatus::Declined => Self::Declined,
            },
            PaymentEvent::RefundRequested { payment_id, amount_cents, .. } => {
                Self::Refunding(Paid { payment_id: payment_id.clone(), amount_cents: *amount_cents })
            }
            PaymentEvent::Refunded { .. } => Self::Refunded,
        }
    }
}

/// A payment that cannot be dealt with so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no refund of order {order_id} was requested")]
pub struct NoRefundRequested {
    /// The order.
    pub order_id: String,
}

/// Records what the gateway said to a charge. A second answer changes nothing.
#[derive(Debug, Clone)]
pub struct RecordCharge {
    /// The order.
    pub order_id: String,
    /// How much was asked for.
    pub amount_cents: u64,
    /// What the gateway said.
    pub answer: Answer,
}

impl Command<Payment> for RecordCharge {
    type Error = std::convert::Infallible;

    fn decide(&self, payment: &Payment) -> Result<Vec<PaymentEvent>, Self::Error> {
        if *payment != Payment::None {
            return Ok(vec![]);
        }
        let (payment_id, status, reason) = match self.answer.clone() {
            Answer::Approved { payment_id } => (payment_id, PaymentStatus::Approved, None),
            Answer::Declined { payment_id, reason } => (payment_id, PaymentStatus::Declined, Some(reason)),
        };
        let (order_id, amount_cents) = (self.order_id.clone(), self.amount_cents);
        Ok(vec![PaymentEvent::Processed { order_id, payment_id, amount_cents, status, reason }])
    }
}

/// Asks for the money of a cancelled order, if there is any.
#[derive(Debug, Clone)]
pub struct RequestRefund {
    /// The order.
    pub order_id: String,
}

impl Command<Payment> for RequestRefund {
    type Error = std::convert::Infallible;

    fn decide(&self, payment: &Payment) -> Result<Vec<PaymentEvent>, Self::Error> {
        let Payment::Approved(Paid { payment_id, amount_cents }) = payment.clone() else { return Ok(vec![]) };
        Ok(vec![PaymentEvent::RefundRequested { order_id: self.order_id.clone(), payment_id, amount_cents }])
    }
}

/// Records that the money is back. A second time changes nothing.
#[derive(Debug, Clone)]
pub struct RecordRefund {
    /// The order.
    pub order_id: String,
}

impl Command<Payment> for RecordRefund {
    type Error = NoRefundRequested;

    fn decide(&self, payment: &Payment) -> Result<Vec<PaymentEvent>, NoRefundRequested> {
        let order_id = self.order_id.clone();
        match payment.clone() {
            Payment::Refunding(Paid { payment_id, amount_cents }) => {
                Ok(vec![PaymentEvent::Refunded { order_id, payment_id, amount_cents }])
            }
            Payment::Refunded => Ok(vec![]),
            Payment::None | Payment::Approved(_) | Payment::Declined => Err(NoRefundRequested { order_id }),
        }
    }
}

/// What this service reads of a new order.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
pub enum OrderPlaced {
    /// Somebody is to pay.
    #[event(name = "OrderCreated", version = 1)]
    Created {
        /// Who.
        customer_id: String,
        /// How much, where it is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total_cents: Option<u64>,
        /// What, to work it out from.
        #[serde(default)]
        items: Vec<Priced>,
    },
}

impl OrderPlaced {
    fn amount_cents(&self) -> Result<u64, Failure> {
        let Self::Created { total_cents, items, .. } = self;
        amount::of(*total_cents, items).map_err(Failure::permanent)
    }
}

/// What this service reads of an order that is off.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
pub enum OrderOff {
    /// Whoever paid gets it back.
    #[event(name = "OrderCancelled", version = 1)]
    Cancelled {},
}

/// What this service has told itself to do.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "payments.events")]
pub enum RefundWanted {
    /// The gateway is to be asked.
    #[event(name = "PaymentRefundRequested", version = 1)]
    Requested {
        /// The payment.
        payment_id: String,
    },
}

/// The consumer of this service. Where the gateway allows only so many calls a second, all processes of the service keep to that together.
pub fn consumer(gateway: impl Gateway, calls_per_second: Option<NonZeroU32>) -> Consumer {
    let gateway = Arc::new(gateway);
    let consumer = Consumer::new(SERVICE)
        .external(Charging { gateway: Arc::clone(&gateway) })
        .handler(Cancelling)
        .external(Refunding { gateway })
        .concurrency(CONCURRENCY)
        .retry(RETRY);
    match calls_per_second {
        Some(calls) => consumer.rate(Rate::per_second(calls.get()).shared()),
        None => consumer,
    }
}

/// Charges orders that are created. At least once towards the gateway, which knows repeats; recorded exactly once.
struct Charging<G> {
    gateway: Arc<G>,
}

impl<G: Gateway> ExternalHandler for Charging<G> {
    type Events = OrderPlaced;
    type Outcome = Answer;

    async fn call(&self, event: &Envelope<OrderPlaced>) -> Result<Answer, Failure> {
        let OrderPlaced::Created { customer_id, .. } = &event.event;
        let amount_cents = event.event.amount_cents()?;
        let answer = self.gateway.charge(event.identity(), customer_id, amount_cents).await;
        answer.map_err(NoAnswer::failure)
    }

    async fn handle(
        &self,
        event: &Envelope<OrderPlaced>,
        answer: &Answer,
        tx: &mut Tx,
    ) -> Result<(), Failure> {
        let (order_id, amount_cents) = (event.aggregate_id.clone(), event.event.amount_cents()?);
        let record = RecordCharge { order_id, amount_cents, answer: answer.clone() };
        tx.command::<Payment, _>(&event.aggregate_id, record).await?;
        Ok(())
    }
}

/// Requests the refund of cancelled orders. Exactly once.
struct Cancelling;

impl Handler for Cancelling {
    type Events = OrderOff;

    async fn handle(&self, event: &Envelope<OrderOff>, tx: &mut Tx) -> Result<(), Failure> {
        let request = RequestRefund { order_id: event.aggregate_id.clone() };
        tx.command::<Payment, _>(&event.aggregate_id, request).await?;
        Ok(())
    }
}

/// Has the gateway give money back. At least once towards the gateway, recorded exactly once.
struct Refunding<G> {
    gateway: Arc<G>,
}

impl<G: Gateway> ExternalHandler for Refunding<G> {
    type Events = RefundWanted;
    type Outcome = ();

    async fn call(&self, event: &Envelope<RefundWanted>) -> Result<(), Failure> {
        let RefundWanted::Requested { payment_id } = &event.event;
        self.gateway.refund(event.identity(), payment_id).await.map_err(NoAnswer::failure)
    }

    async fn handle(&self, event: &Envelope<RefundWanted>, (): &(), tx: &mut Tx) -> Result<(), Failure> {
        let record = RecordRefund { order_id: event.aggregate_id.clone() };
        tx.command::<Payment, _>(&event.aggregate_id, record).await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "payment_tests.rs"]
mod tests;
