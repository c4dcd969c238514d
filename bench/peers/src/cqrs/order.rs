//! The aggregate Order as cqrs-es has aggregates: the same events and the same two guards as in factstream's orders system.

use crate::figures::Step;
use crate::workload::{Item, customer, items, total_cents, tracking_number};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum OrderEvent {
    OrderCreated { customer_id: String, items: Vec<Item>, total_cents: u64 },
    OrderShipped { tracking_number: String },
}

impl OrderEvent {
    /// The event of a step.
    pub(super) fn of(number: u64, step: Step) -> Self {
        let items = items(number);
        match step {
            Step::Create => {
                Self::OrderCreated { customer_id: customer(number), total_cents: total_cents(&items), items }
            }
            Step::Ship => Self::OrderShipped { tracking_number: tracking_number(number) },
        }
    }
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        match self {
            Self::OrderCreated { .. } => "OrderCreated".to_owned(),
            Self::OrderShipped { .. } => "OrderShipped".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

/// What may be done to it.
pub(super) enum OrderCommand {
    Create { customer_id: String, items: Vec<Item> },
    Ship { tracking_number: String },
}

impl OrderCommand {
    /// The command of a step.
    pub(super) fn of(number: u64, step: Step) -> Self {
        match step {
            Step::Create => Self::Create { customer_id: customer(number), items: items(number) },
            Step::Ship => Self::Ship { tracking_number: tracking_number(number) },
        }
    }
}

/// Why a command is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("Order already created")]
    AlreadyCreated,
    #[error("Order is not there to be shipped")]
    CannotShip,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    #[default]
    Unknown,
    Pending,
    Shipped,
}

/// An order, folded from its events.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Order {
    status: Status,
    customer_id: String,
    items: Vec<Item>,
    total_cents: u64,
    tracking_number: Option<String>,
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        command: OrderCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        let event = match (command, self.status) {
            (OrderCommand::Create { customer_id, items }, Status::Unknown) => {
                OrderEvent::OrderCreated { customer_id, total_cents: total_cents(&items), items }
            }
            (OrderCommand::Ship { tracking_number }, Status::Pending) => {
                OrderEvent::OrderShipped { tracking_number }
            }
            (OrderCommand::Create { .. }, _) => return Err(Refused::AlreadyCreated),
            (OrderCommand::Ship { .. }, _) => return Err(Refused::CannotShip),
        };
        sink.write(event, self).await;
        Ok(())
    }

    fn apply(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::OrderCreated { customer_id, items, total_cents } => {
                *self =
                    Self { status: Status::Pending, customer_id, items, total_cents, tracking_number: None };
            }
            OrderEvent::OrderShipped { tracking_number } => {
                self.status = Status::Shipped;
                self.tracking_number = Some(tracking_number);
            }
        }
    }
}
