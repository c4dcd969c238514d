//! What every entry does: orders that are created and then shipped, with the contents that `bench/src/workload.rs` gives them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
    pub(crate) price_cents: u64,
}

/// The ids of a run's orders: as they come from `Uuid::now_v7`, without its cost.
#[derive(Clone, Copy)]
pub(crate) struct Ids(u128);

impl Ids {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7().as_u128())
    }

    pub(crate) fn order(self, number: u64) -> Uuid {
        Uuid::from_u128(self.0.wrapping_add(u128::from(number)))
    }
}

pub(crate) fn customer(number: u64) -> String {
    format!("customer-{}", number % 1_000)
}

pub(crate) fn tracking_number(number: u64) -> String {
    format!("TRACK-{number:08}")
}

pub(crate) fn items(number: u64) -> Vec<Item> {
    let item = |sku: &str, quantity| Item { sku: sku.to_owned(), quantity, price_cents: 1_999 };
    vec![item("keyboard", 1 + (number % 3) as u32), item("mouse", 1)]
}

pub(crate) fn total_cents(items: &[Item]) -> u64 {
    items.iter().map(|item| item.price_cents * u64::from(item.quantity)).sum()
}
