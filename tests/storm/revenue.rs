//! What the causal consumer `analytics` left behind, against the log: each order's row is joined from two topics, and no payment was handled
//! before the order that caused it (G19).

use factstream_tests::ledger::{self, Event};
use std::collections::BTreeMap;

/// Of one order: how often it was paid, and what of that is not given back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Revenue {
    customer: String,
    payments: i64,
    cents: i64,
}

/// Checks everything; panics with what does not hold.
pub(crate) fn check(store: &str) {
    let sql = "SELECT order_id, customer_id, payments, paid_cents, CASE WHEN is_out_of_order THEN 1 ELSE 0 END \
               FROM order_revenue";
    let mut found = BTreeMap::new();
    for row in ledger::query(store, sql) {
        let [order, customer, payments, cents, is_out_of_order] =
            <[_; 5]>::try_from(row).expect("five columns").map(Option::unwrap_or_default);
        assert_eq!(is_out_of_order, "0", "a payment of order {order} was handled before the order");
        let number = |text: String| text.parse().expect("a number");
        found.insert(order, Revenue { customer, payments: number(payments), cents: number(cents) });
    }
    let wanted = revenues(&ledger::events(store));
    for (order, revenue) in &wanted {
        assert_eq!(found.get(order), Some(revenue), "what order {order} brought in");
    }
    assert_eq!(found.len(), wanted.len(), "rows of orders that there are not");
}

fn revenues(events: &[Event]) -> BTreeMap<String, Revenue> {
    let mut revenues = BTreeMap::<String, Revenue>::new();
    for event in events {
        let data = &event.data;
        let revenue = match event.event_type.as_str() {
            "OrderCreated" | "PaymentProcessed" | "PaymentRefunded" => {
                revenues.entry(event.aggregate_id.clone()).or_default()
            }
            _ => continue,
        };
        let cents = || data["amount_cents"].as_i64().expect("an amount is a number");
        match event.event_type.as_str() {
            "OrderCreated" => {
                data["customer_id"].as_str().unwrap_or_default().clone_into(&mut revenue.customer)
            }
            "PaymentRefunded" => revenue.cents -= cents(),
            _ if data["status"] == "APPROVED" => {
                revenue.payments += 1;
                revenue.cents += cents();
            }
            _ => {}
        }
    }
    revenues
}
