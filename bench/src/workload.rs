//! What every entry does: orders that are created and then shipped, two events each, as the orders system has them.

use crate::figures::Step;
use factstream::event::Event;
use factstream::sql::{format_timestamp, now};
use orders::order::{CreateOrder, Item, OrderEvent, ShipOrder};
use uuid::Uuid;

/// The ids of a run's orders: as they come from `Uuid::now_v7`, without its cost.
#[derive(Clone, Copy)]
pub(crate) struct Ids(u128);

impl Ids {
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7().as_u128())
    }

    pub(crate) fn order(self, number: u64) -> String {
        Uuid::from_u128(self.0.wrapping_add(u128::from(number))).to_string()
    }
}

pub(crate) fn create(number: u64) -> CreateOrder {
    CreateOrder { customer_id: customer(number), items: items(number), due_seconds: None }
}

pub(crate) fn ship(number: u64) -> ShipOrder {
    ShipOrder { tracking_number: tracking_number(number) }
}

/// The event of a step.
pub(crate) fn event(number: u64, step: Step) -> OrderEvent {
    match step {
        Step::Create => OrderEvent::Created {
            customer_id: customer(number),
            items: items(number),
            total_cents: items(number).iter().map(|item| item.price_cents * u64::from(item.quantity)).sum(),
            due_seconds: None,
        },
        Step::Ship => OrderEvent::Shipped { tracking_number: tracking_number(number) },
    }
}

fn customer(number: u64) -> String {
    format!("customer-{}", number % 1_000)
}

fn tracking_number(number: u64) -> String {
    format!("TRACK-{number:08}")
}

fn items(number: u64) -> Vec<Item> {
    let item = |sku: &str, quantity| Item { sku: sku.to_owned(), quantity, price_cents: 1_999 };
    vec![item("keyboard", 1 + (number % 3) as u32), item("mouse", 1)]
}

/// A row of `events` as raw code writes it: what factstream's row holds, with nothing but what that takes.
pub(crate) struct RawEvent {
    pub(crate) aggregate_id: String,
    pub(crate) version: i64,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: &'static str,
    pub(crate) data: String,
    pub(crate) metadata: String,
    pub(crate) timestamp: String,
}

impl RawEvent {
    pub(crate) fn new(ids: Ids, number: u64, step: Step) -> Self {
        let event = event(number, step);
        let event_id = Uuid::now_v7();
        let event_type = event.event_type();
        Self {
            aggregate_id: ids.order(number),
            version: match step {
                Step::Create => 1,
                Step::Ship => 2,
            },
            event_id,
            event_type: event_type.name,
            data: event.encode().expect("an order's event is JSON").into(),
            metadata: format!(
                r#"{{"source":"bench","correlation_id":"{event_id}","causation_id":"{event_id}","topic":"orders.events"}}"#
            ),
            timestamp: format_timestamp(now()),
        }
    }

    /// Events in the order in which 64 callers at once write them: 64 created, then 64 shipped.
    pub(crate) fn all(ids: Ids, orders: u64) -> impl Iterator<Item = Self> {
        const SIDE_BY_SIDE: u64 = 64;
        (0..orders.div_ceil(SIDE_BY_SIDE)).flat_map(move |group| {
            let numbers = group * SIDE_BY_SIDE..((group + 1) * SIDE_BY_SIDE).min(orders);
            let created = numbers.clone().map(move |number| Self::new(ids, number, Step::Create));
            created.chain(numbers.map(move |number| Self::new(ids, number, Step::Ship)))
        })
    }
}
