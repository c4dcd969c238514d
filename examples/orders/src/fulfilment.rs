//! The order service's consumer: ships what is paid and reserved, cancels what is not.
//!
//! Invariant: the facts come in any order, from two topics; the aggregate [`Order`] decides when they are complete.

use crate::inventory::Reason;
use crate::order::{CancelOrder, ConfirmPayment, ConfirmStock, Order, OrderError};
use crate::payment::PaymentStatus;
use factstream::{Command, Consumer, Envelope, Event, EventSet, ExecuteError, Failure, Handler, Tx};
use serde::{Deserialize, Serialize};

/// The consumer group.
pub const SERVICE: &str = "order";

/// What the order service reads of the other two.
#[derive(Debug, Clone, PartialEq, Eq, EventSet)]
pub enum Fact {
    /// Of the payment service.
    Payment(PaymentFact),
    /// Of the inventory service.
    Stock(StockFact),
}

/// What this service reads of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "payments.events")]
pub enum PaymentFact {
    /// The gateway has answered.
    #[event(name = "PaymentProcessed", version = 1)]
    Processed {
        /// For which order.
        order_id: String,
        /// The payment.
        payment_id: String,
        /// What it said.
        status: PaymentStatus,
        /// Why it was declined.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// What this service reads of the stock.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "inventory.events")]
pub enum StockFact {
    /// A stock has changed, or could not serve an order.
    #[event(name = "InventoryUpdated", version = 1)]
    Updated {
        /// The SKU.
        sku: String,
        /// Why.
        reason: Reason,
        /// For which order, if any.
        #[serde(default)]
        order_id: Option<String>,
    },
}

/// The consumer of this service.
pub fn consumer(auto_ship: bool) -> Consumer {
    Consumer::new(SERVICE).handler(Fulfilling { auto_ship })
}

/// Turns facts of the other services into commands on orders. Exactly once.
struct Fulfilling {
    auto_ship: bool,
}

impl Handler for Fulfilling {
    type Events = Fact;

    async fn handle(&self, event: &Envelope<Fact>, tx: &mut Tx) -> Result<(), Failure> {
        match event.event.clone() {
            Fact::Payment(PaymentFact::Processed { order_id, payment_id, status, reason }) => match status {
                PaymentStatus::Approved => {
                    let ship_with = self.tracking_number(&order_id);
                    command(&order_id, ConfirmPayment { payment_id, ship_with }, tx).await
                }
                PaymentStatus::Declined => {
                    let why = reason.unwrap_or_else(|| "no reason given".to_owned());
                    command(&order_id, CancelOrder { reason: format!("payment declined: {why}") }, tx).await
                }
            },
            Fact::Stock(StockFact::Updated { sku, reason, order_id: Some(order_id) }) => match reason {
                Reason::Reserved => {
                    let ship_with = self.tracking_number(&order_id);
                    command(&order_id, ConfirmStock { sku, ship_with }, tx).await
                }
                Reason::OutOfStock => {
                    command(&order_id, CancelOrder { reason: format!("out of stock: {sku}") }, tx).await
                }
                Reason::Stocked | Reason::Returned => Ok(()),
            },
            Fact::Stock(StockFact::Updated { order_id: None, .. }) => Ok(()),
        }
    }
}

impl Fulfilling {
    /// The number to ship with by itself: the same for an order whenever it is asked for.
    fn tracking_number(&self, order_id: &str) -> Option<String> {
        self.auto_ship.then(|| format!("TN-{order_id}"))
    }
}

async fn command<C>(order_id: &str, command: C, tx: &mut Tx) -> Result<(), Failure>
where
    C: Command<Order, Error = OrderError>,
{
    match tx.command::<Order, _>(order_id, command).await {
        Ok(_) => Ok(()),
        Err(ExecuteError::Rejected(refusal @ OrderError::CannotCancel(_))) => {
            // It was shipped by hand before this was known: nothing that a retry could change.
            tracing::warn!(order_id, %refusal, "an order that should be cancelled has left the house");
            Ok(())
        }
        Err(ExecuteError::Rejected(refusal)) => Err(Failure::permanent(refusal)),
        Err(ExecuteError::Failed(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::StockEvent;
    use crate::payment::PaymentEvent;

    #[test]
    fn what_the_other_services_write_is_what_this_one_reads() {
        let payment = PaymentEvent::Processed {
            order_id: "o-1".into(),
            payment_id: "pay-1".into(),
            amount_cents: 5,
            status: PaymentStatus::Declined,
            reason: Some("no money".into()),
        };
        let stock = StockEvent::Updated {
            sku: "SKU-1".into(),
            change: -1,
            available: 0,
            reason: Reason::Reserved,
            order_id: Some("o-1".into()),
        };
        let read = |name: &str, json: String| Fact::decode(name, &json).unwrap().unwrap();
        assert_eq!(
            read(payment.event_type().name, payment.encode().unwrap()),
            Fact::Payment(PaymentFact::Processed {
                order_id: "o-1".into(),
                payment_id: "pay-1".into(),
                status: PaymentStatus::Declined,
                reason: Some("no money".into()),
            })
        );
        assert_eq!(
            read(stock.event_type().name, stock.encode().unwrap()),
            Fact::Stock(StockFact::Updated {
                sku: "SKU-1".into(),
                reason: Reason::Reserved,
                order_id: Some("o-1".into())
            })
        );
    }

    #[test]
    fn a_tracking_number_is_the_same_whenever_it_is_asked_for_and_only_with_auto_ship() {
        assert_eq!(Fulfilling { auto_ship: true }.tracking_number("o-1").as_deref(), Some("TN-o-1"));
        assert_eq!(Fulfilling { auto_ship: false }.tracking_number("o-1"), None);
    }
}
