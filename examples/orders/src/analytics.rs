//! The consumer `analytics`: what each order brought in, joined from the topics of orders and payments.
//!
//! A payment says nothing of the customer, so its order has to be known first. The topics are read at their own speeds, perhaps by different
//! processes, and a reading of either may fail and be tried again: **causal order** has a payment wait for its order, because the order is
//! its cause (G19).
//!
//! Invariant: the row of an order is written by one event at a time, each after those that caused it. Effects are exactly once.

use crate::payment::PaymentStatus;
use factstream::{Causal, Consumer, Envelope, Event, EventSet, Failure, Handler, Late, ReadModel, Tx};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The consumer group.
pub const NAME: &str = "analytics";
/// How long a payment waits for its order: longer than any outage that is not noticed. Where the store's clock is the machine's (SQLite), also
/// longer than that is off.
const WAIT: Duration = Duration::from_secs(24 * 3_600);

/// What an order brought in.
#[derive(Debug, Clone, PartialEq, Eq, ReadModel)]
#[read_model(table = "order_revenue")]
pub struct OrderRevenue {
    /// The order.
    #[column(key)]
    pub order_id: String,
    /// Who placed it; `None` where a payment came whose order did not in time.
    #[column(index)]
    pub customer_id: Option<String>,
    /// How often it was paid: once, or not at all.
    pub payments: i64,
    /// What was paid and is not given back, in cents.
    pub paid_cents: i64,
    /// Whether a payment or a refund was handled before its order.
    pub is_out_of_order: bool,
}

/// What is read of the two topics.
#[derive(Debug, Clone, PartialEq, Eq, EventSet)]
pub enum Seen {
    /// Of orders.
    Order(Ordered),
    /// Of payments.
    Payment(PaymentSeen),
}

/// What is read of an order.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
pub enum Ordered {
    /// A customer placed it.
    #[event(name = "OrderCreated", version = 1)]
    Created {
        /// Who.
        customer_id: String,
    },
}

/// What is read of a payment; its aggregate's id is the order's.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "payments.events")]
pub enum PaymentSeen {
    /// The gateway has answered.
    #[event(name = "PaymentProcessed", version = 1)]
    Processed {
        /// For which order.
        order_id: String,
        /// How much.
        amount_cents: i64,
        /// What it said.
        status: PaymentStatus,
    },
    /// The money is back.
    #[event(name = "PaymentRefunded", version = 1)]
    Refunded {
        /// For which order.
        order_id: String,
        /// How much.
        amount_cents: i64,
    },
}

/// The consumer.
pub fn consumer() -> Consumer {
    Consumer::new(NAME)
        .table_of::<OrderRevenue>()
        .handler(Joining)
        .causal(Causal::wait(WAIT).then(Late::Handle))
}

/// Joins.
struct Joining;

impl Handler for Joining {
    type Events = Seen;

    async fn handle(&self, event: &Envelope<Seen>, tx: &mut Tx) -> Result<(), Failure> {
        let order_id = match &event.event {
            Seen::Order(_) => &event.aggregate_id,
            Seen::Payment(
                PaymentSeen::Processed { order_id, .. } | PaymentSeen::Refunded { order_id, .. },
            ) => order_id,
        };
        let row = tx.get::<OrderRevenue>(order_id.as_str()).await?;
        tx.put(&joined(row, order_id, &event.event)).await?;
        Ok(())
    }
}

/// The row after an event. Pure.
fn joined(row: Option<OrderRevenue>, order_id: &str, seen: &Seen) -> OrderRevenue {
    let mut row = row.unwrap_or_else(|| OrderRevenue {
        order_id: order_id.to_owned(),
        customer_id: None,
        payments: 0,
        paid_cents: 0,
        is_out_of_order: false,
    });
    match seen {
        Seen::Order(Ordered::Created { customer_id }) => row.customer_id = Some(customer_id.clone()),
        Seen::Payment(payment) => {
            row.is_out_of_order |= row.customer_id.is_none();
            match payment {
                PaymentSeen::Processed { amount_cents, status: PaymentStatus::Approved, .. } => {
                    row.payments += 1;
                    row.paid_cents += amount_cents;
                }
                PaymentSeen::Processed { status: PaymentStatus::Declined, .. } => {}
                PaymentSeen::Refunded { amount_cents, .. } => row.paid_cents -= amount_cents,
            }
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created() -> Seen {
        Seen::Order(Ordered::Created { customer_id: "c-1".into() })
    }

    fn processed(status: PaymentStatus) -> Seen {
        Seen::Payment(PaymentSeen::Processed { order_id: "o-1".into(), amount_cents: 500, status })
    }

    fn refunded() -> Seen {
        Seen::Payment(PaymentSeen::Refunded { order_id: "o-1".into(), amount_cents: 500 })
    }

    fn after(events: &[Seen]) -> OrderRevenue {
        let row = events.iter().fold(None, |row, seen| Some(joined(row, "o-1", seen)));
        row.expect("there are events")
    }

    #[test]
    fn an_order_and_its_payment_are_joined_and_a_refund_takes_it_back() {
        let paid = after(&[created(), processed(PaymentStatus::Approved)]);
        assert_eq!((paid.customer_id.as_deref(), paid.payments, paid.paid_cents), (Some("c-1"), 1, 500));
        let back = after(&[created(), processed(PaymentStatus::Approved), refunded()]);
        assert_eq!((back.payments, back.paid_cents, back.is_out_of_order), (1, 0, false));
        let declined = after(&[created(), processed(PaymentStatus::Declined)]);
        assert_eq!((declined.payments, declined.paid_cents), (0, 0));
    }

    #[test]
    fn a_payment_that_is_handled_before_its_order_can_be_seen_for_good() {
        let row = after(&[processed(PaymentStatus::Approved), created()]);
        assert!(row.is_out_of_order && row.customer_id.is_some(), "{row:?}");
    }
}
