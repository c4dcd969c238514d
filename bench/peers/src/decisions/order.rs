//! Orders as disintegrate has them: events that name their order, the state of one, and a decision for each command with the
//! same guards as in factstream's orders system.

use crate::figures::Step;
use crate::workload::{Item, customer, items, total_cents, tracking_number};
use disintegrate::{Decision, Event, StateMutate, StateQuery};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
pub(super) enum OrderEvent {
    OrderCreated {
        #[id]
        order_id: Uuid,
        customer_id: String,
        items: Vec<Item>,
        total_cents: u64,
    },
    OrderShipped {
        #[id]
        order_id: Uuid,
        tracking_number: String,
    },
}

impl OrderEvent {
    /// The event of a step.
    pub(super) fn of(order_id: Uuid, number: u64, step: Step) -> Self {
        let items = items(number);
        match step {
            Step::Create => Self::OrderCreated {
                order_id,
                customer_id: customer(number),
                total_cents: total_cents(&items),
                items,
            },
            Step::Ship => Self::OrderShipped { order_id, tracking_number: tracking_number(number) },
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    #[default]
    Unknown,
    Pending,
    Shipped,
}

/// An order, folded from its events.
#[derive(Debug, Clone, Default, StateQuery, Serialize, Deserialize)]
#[state_query(OrderEvent)]
#[expect(clippy::struct_field_names, reason = "the state's id is named as the events' is")]
pub(super) struct Order {
    #[id]
    order_id: Uuid,
    status: Status,
    customer_id: String,
    items: Vec<Item>,
    total_cents: u64,
    tracking_number: Option<String>,
}

impl Order {
    fn new(order_id: Uuid) -> Self {
        Self { order_id, ..Self::default() }
    }
}

impl StateMutate for Order {
    fn mutate(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::OrderCreated { customer_id, items, total_cents, .. } => {
                self.status = Status::Pending;
                self.customer_id = customer_id;
                self.items = items;
                self.total_cents = total_cents;
            }
            OrderEvent::OrderShipped { tracking_number, .. } => {
                self.status = Status::Shipped;
                self.tracking_number = Some(tracking_number);
            }
        }
    }
}

/// Why a decision is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("Order already created")]
    AlreadyCreated,
    #[error("Order does not exist")]
    DoesNotExist,
    #[error("Order is shipped already")]
    AlreadyShipped,
}

/// Places an order.
#[derive(Debug, Clone)]
pub(super) struct CreateOrder {
    order_id: Uuid,
    customer_id: String,
    items: Vec<Item>,
}

impl CreateOrder {
    pub(super) fn new(order_id: Uuid, number: u64) -> Self {
        Self { order_id, customer_id: customer(number), items: items(number) }
    }
}

impl Decision for CreateOrder {
    type Event = OrderEvent;
    type StateQuery = Order;
    type Error = Refused;

    fn state_query(&self) -> Order {
        Order::new(self.order_id)
    }

    fn process(&self, order: &Order) -> Result<Vec<OrderEvent>, Refused> {
        if order.status != Status::Unknown {
            return Err(Refused::AlreadyCreated);
        }
        Ok(vec![OrderEvent::OrderCreated {
            order_id: self.order_id,
            customer_id: self.customer_id.clone(),
            items: self.items.clone(),
            total_cents: total_cents(&self.items),
        }])
    }
}

/// Ships an order.
#[derive(Debug, Clone)]
pub(super) struct ShipOrder {
    order_id: Uuid,
    tracking_number: String,
}

impl ShipOrder {
    pub(super) fn new(order_id: Uuid, number: u64) -> Self {
        Self { order_id, tracking_number: tracking_number(number) }
    }
}

impl Decision for ShipOrder {
    type Event = OrderEvent;
    type StateQuery = Order;
    type Error = Refused;

    fn state_query(&self) -> Order {
        Order::new(self.order_id)
    }

    fn process(&self, order: &Order) -> Result<Vec<OrderEvent>, Refused> {
        match order.status {
            Status::Unknown => Err(Refused::DoesNotExist),
            Status::Pending => Ok(vec![OrderEvent::OrderShipped {
                order_id: self.order_id,
                tracking_number: self.tracking_number.clone(),
            }]),
            Status::Shipped => Err(Refused::AlreadyShipped),
        }
    }
}
