//! The order service's consumer: what the other services say of an order becomes events of the order.
//!
//! Invariant: it decides nothing. The facts come in any order, from two topics, perhaps from services that another team runs; the process
//! [`fulfilment`](crate::fulfilment) reads what the order's stream has of them.

use crate::inventory::Reason;
use crate::order::{Note, Order};
use crate::payment::PaymentStatus;
use factstream::{Consumer, Envelope, Event, EventSet, Failure, Handler, Tx};
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
    /// The money is back.
    #[event(name = "PaymentRefunded", version = 1)]
    Refunded {
        /// For which order.
        order_id: String,
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
pub fn consumer() -> Consumer {
    // Releases before passed over refunds. Their orders are cancelled, and nobody waits for these.
    Consumer::new(SERVICE).handler(TakingIn).leave_skipped()
}

/// Records facts of the other services as facts of their orders. Exactly once.
struct TakingIn;

impl Handler for TakingIn {
    type Events = Fact;

    async fn handle(&self, event: &Envelope<Fact>, tx: &mut Tx) -> Result<(), Failure> {
        if let Some((order_id, note)) = note_of(&event.event) {
            tx.command::<Order, _>(&order_id, note).await?;
        }
        Ok(())
    }
}

/// What a fact says, and of which order.
fn note_of(fact: &Fact) -> Option<(String, Note)> {
    Some(match fact.clone() {
        Fact::Payment(PaymentFact::Refunded { order_id }) => (order_id, Note::Refunded),
        Fact::Payment(PaymentFact::Processed { order_id, payment_id, status, reason }) => {
            let reason = || reason.unwrap_or_else(|| "no reason given".to_owned());
            match status {
                PaymentStatus::Approved => (order_id, Note::Paid { payment_id }),
                PaymentStatus::Declined => (order_id, Note::Declined { reason: reason() }),
            }
        }
        Fact::Stock(StockFact::Updated { sku, reason, order_id }) => match reason {
            Reason::Stocked => return None,
            Reason::Reserved => (order_id?, Note::Reserved { sku }),
            Reason::OutOfStock => (order_id?, Note::OutOfStock { sku }),
            Reason::Returned => (order_id?, Note::Returned { sku }),
        },
    })
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
            read(payment.event_type().name, payment.encode().unwrap().into()),
            Fact::Payment(PaymentFact::Processed {
                order_id: "o-1".into(),
                payment_id: "pay-1".into(),
                status: PaymentStatus::Declined,
                reason: Some("no money".into()),
            })
        );
        assert_eq!(
            read(stock.event_type().name, stock.encode().unwrap().into()),
            Fact::Stock(StockFact::Updated {
                sku: "SKU-1".into(),
                reason: Reason::Reserved,
                order_id: Some("o-1".into())
            })
        );
    }

    #[test]
    fn goods_that_come_in_concern_no_order() {
        let stock = |reason, order_id| StockFact::Updated { sku: "SKU-1".into(), reason, order_id };
        assert_eq!(note_of(&Fact::Stock(stock(Reason::Stocked, None))), None);
        let returned = Note::Returned { sku: "SKU-1".into() };
        let fact = Fact::Stock(stock(Reason::Returned, Some("o-1".into())));
        assert_eq!(note_of(&fact), Some(("o-1".to_owned(), returned)));
    }
}
