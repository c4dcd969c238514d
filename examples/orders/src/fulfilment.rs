//! The order service's process: from an order that is placed until it is shipped, or cancelled with everything given back.
//!
//! Payment and stock are asked for in parallel: both services read `OrderCreated`. When both are in, the order is shipped. When one says no,
//! or both are not in when the order is due, it is cancelled: the other services give back what they have taken when they read
//! `OrderCancelled`, and the process goes on until it knows of it.
//!
//! Invariants: an order is shipped or cancelled once, whatever order its facts come in. A process that has ended with a cancelled order has
//! seen the answer to its payment, and each thing that it has seen taken given back.

use crate::order::{CancelOrder, Order, OrderEvent, ShipOrder};
use factstream::{Acts, Correlate, Envelope, Failure, Input, Missing, Process};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

/// The process, and its handler.
pub const NAME: &str = "fulfilment";
/// Within how many seconds an order is paid and reserved, unless it says so itself.
pub const DUE_SECONDS: u32 = 15 * 60;
/// The timer that cancels what is not.
pub const DUE: &str = "due";

/// Whether an order that has everything is shipped by the process: a fixed choice of the build's wiring, for a process has no options.
pub trait Shipping: Default + Send + Sync + 'static {
    /// Whether it is.
    const BY_ITSELF: bool;
}

/// Orders are shipped when they have everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByItself;

/// Orders that have everything wait for a person: [`ShipOrder`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ByHand;

impl Shipping for ByItself {
    const BY_ITSELF: bool = true;
}

impl Shipping for ByHand {
    const BY_ITSELF: bool = false;
}

/// The fulfilment of one order; the instance's id is the order's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Fulfilment<S = ByItself> {
    /// The order.
    pub order_id: String,
    /// What is known of the payment.
    pub payment: Money,
    /// SKUs that are not reserved yet.
    pub missing: BTreeSet<String>,
    /// SKUs that are reserved, and not given back.
    pub held: BTreeSet<String>,
    /// Whether everything was in: it is shipped, or waits for a person who ships it.
    pub complete: bool,
    /// Why it is being cancelled.
    pub cancelled: Option<String>,
    #[serde(skip)]
    shipping: PhantomData<S>,
}

/// Where the money of an order is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Money {
    /// Asked for: it may be taken or not.
    #[default]
    AskedFor,
    /// With us.
    Paid,
    /// With the customer, who does not pay.
    Declined,
    /// With the customer again.
    Refunded,
}

impl<S: Shipping> Process for Fulfilment<S> {
    const NAME: &'static str = NAME;
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        let id = &event.aggregate_id;
        match event.event {
            OrderEvent::Created { .. } => Correlate::start(id),
            // Skipped where the process ended so long ago that it is forgotten.
            _ => Correlate::go_on(id).or(Missing::Skip),
        }
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
        match input {
            Input::Event(event) => self.take(event, acts),
            Input::Timer(DUE) => self.cancel(self.overdue(), acts),
            // A command was refused because the order is shipped or cancelled already, by a person or another build. Its event says which,
            // and ends this.
            _ => return Ok(()),
        }
        match self.cancelled {
            None if self.has_everything() => self.complete(acts),
            Some(_) if self.has_nothing() => acts.end(),
            _ => {}
        }
        Ok(())
    }
}

impl<S: Shipping> Fulfilment<S> {
    fn take(&mut self, event: &Envelope<OrderEvent>, acts: &mut Acts) {
        match &event.event {
            OrderEvent::Created { items, due_seconds, .. } if self.order_id.is_empty() => {
                self.order_id.clone_from(&event.aggregate_id);
                self.missing = items.iter().map(|item| item.sku.clone()).collect();
                let due = due_seconds.unwrap_or(DUE_SECONDS);
                acts.timer(DUE).after(Duration::from_secs(due.into()));
            }
            OrderEvent::Paid { .. } if self.payment == Money::AskedFor => self.payment = Money::Paid,
            OrderEvent::Refunded => self.payment = Money::Refunded,
            OrderEvent::PaymentDeclined { reason } if self.payment == Money::AskedFor => {
                self.payment = Money::Declined;
                self.cancel(format!("payment declined: {reason}"), acts);
            }
            OrderEvent::StockReserved { sku } => {
                if self.missing.remove(sku) {
                    self.held.insert(sku.clone());
                }
            }
            OrderEvent::StockReturned { sku } => drop(self.held.remove(sku)),
            OrderEvent::OutOfStock { sku } => self.cancel(format!("out of stock: {sku}"), acts),
            OrderEvent::Shipped { .. } => acts.end(),
            // Not this process has cancelled it: whoever did does not wait for what is given back.
            OrderEvent::Cancelled { .. } if self.cancelled.is_none() => acts.end(),
            // What is known already.
            OrderEvent::Cancelled { .. }
            | OrderEvent::Created { .. }
            | OrderEvent::Paid { .. }
            | OrderEvent::PaymentDeclined { .. } => {}
        }
    }

    /// Whether everything is in since now.
    fn has_everything(&self) -> bool {
        self.payment == Money::Paid && self.missing.is_empty() && !self.complete
    }

    /// Whether nothing is here, or may still come, that is to be given back.
    fn has_nothing(&self) -> bool {
        matches!(self.payment, Money::Declined | Money::Refunded) && self.held.is_empty()
    }

    fn complete(&mut self, acts: &mut Acts) {
        self.complete = true;
        if S::BY_ITSELF {
            // The same number whenever it is asked for.
            let tracking_number = format!("TN-{}", self.order_id);
            acts.command::<Order, _>(&self.order_id, ShipOrder { tracking_number });
            acts.end();
        } else {
            acts.cancel(DUE);
        }
    }

    fn cancel(&mut self, reason: String, acts: &mut Acts) {
        if self.cancelled.is_none() {
            acts.cancel(DUE);
            acts.command::<Order, _>(&self.order_id, CancelOrder { reason: reason.clone() });
            self.cancelled = Some(reason);
        }
    }

    /// What is missing when the order is due.
    fn overdue(&self) -> String {
        match (self.payment, self.missing.first()) {
            (Money::Paid, Some(sku)) => format!("not reserved in time: {sku}"),
            _ => "not paid in time".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "fulfilment_tests.rs"]
mod tests;
