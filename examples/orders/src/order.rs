//! The aggregate Order: what happened to an order, its state, and the decisions on it. Pure; the first step of all.
//!
//! Invariants: an order is created once; it is shipped or cancelled at most once, and never both; what is known of its payment and its
//! stock is recorded once each, also after its end. What follows from it, [`fulfilment`](crate::fulfilment) decides.

use factstream::envelope::{InvalidId, check_id};
use factstream::{Aggregate, Command, Event, Shape, Upcasters};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The only gateway there is.
const GATEWAY: &str = "simulated";

/// The most items of one order.
pub const ITEMS_MAX: usize = 100;

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Item {
    /// What.
    pub sku: String,
    /// How many, at least 1.
    pub quantity: u32,
    /// The price of one, in cents.
    pub price_cents: u64,
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
pub enum OrderEvent {
    /// A customer placed it.
    #[event(name = "OrderCreated", version = 1)]
    Created {
        /// Who.
        customer_id: String,
        /// What.
        items: Vec<Item>,
        /// What it costs.
        total_cents: u64,
        /// Within how many seconds it is to be paid and reserved; the usual time unless said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_seconds: Option<u32>,
    },
    /// It left the house.
    #[event(name = "OrderShipped", version = 1)]
    Shipped {
        /// The parcel.
        tracking_number: String,
    },
    /// It will not be shipped.
    #[event(name = "OrderCancelled", version = 1)]
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The payment is in. Stays home.
    #[event(name = "OrderPaid", was = ["OrderPaymentApproved"], version = 2, private)]
    Paid {
        /// The gateway that took the money.
        gateway: String,
        /// The gateway's name for it.
        payment_id: String,
    },
    /// All that it needs of one SKU is reserved. Stays home.
    #[event(name = "OrderStockReserved", version = 1, private)]
    StockReserved {
        /// The SKU.
        sku: String,
    },
    /// There will be no payment. Stays home, as all of these.
    #[event(name = "OrderPaymentDeclined", version = 1, private)]
    PaymentDeclined {
        /// Why.
        reason: String,
    },
    /// The money went back.
    #[event(name = "OrderRefunded", version = 1, private)]
    Refunded,
    /// The stock does not have all that it needs of one SKU.
    #[event(name = "OrderOutOfStock", version = 1, private)]
    OutOfStock {
        /// The SKU.
        sku: String,
    },
    /// What was reserved of one SKU went back.
    #[event(name = "OrderStockReturned", version = 1, private)]
    StockReturned {
        /// The SKU.
        sku: String,
    },
}

/// From what earlier builds stored to today's events.
pub fn upcasters() -> Upcasters {
    // Version 1 did not say which gateway took the money: there was one.
    Upcasters::new().step("OrderPaid", 1, 2, |mut event| {
        event["gateway"] = GATEWAY.into();
        Ok(event)
    })
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Placed, neither shipped nor cancelled.
    Pending,
    /// Shipped.
    Shipped,
    /// Cancelled.
    Cancelled,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "PENDING",
            Self::Shipped => "SHIPPED",
            Self::Cancelled => "CANCELLED",
        })
    }
}

/// A word that is no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a status is one of PENDING, SHIPPED, CANCELLED")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        let all = [Self::Pending, Self::Shipped, Self::Cancelled];
        all.into_iter().find(|status| status.to_string() == text).ok_or(UnknownStatus)
    }
}

/// An order, folded from its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Where it stands; `None` before it is created.
    pub status: Option<Status>,
    /// Who placed it.
    pub customer_id: String,
    /// What.
    pub items: Vec<Item>,
    /// What it costs.
    pub total_cents: u64,
    /// The payment, once it is approved.
    pub payment_id: Option<String>,
    /// Whether the payment was declined.
    pub declined: bool,
    /// Whether the money went back.
    pub refunded: bool,
    /// The SKUs that are reserved, or were.
    pub reserved: BTreeSet<String>,
    /// Those of them that went back.
    pub returned: BTreeSet<String>,
    /// The first SKU of which too little was there.
    pub out_of_stock: Option<String>,
    /// The parcel, once it is shipped.
    pub tracking_number: Option<String>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Created { customer_id, items, total_cents, .. } => {
                self.status = Some(Status::Pending);
                self.customer_id.clone_from(customer_id);
                self.items.clone_from(items);
                self.total_cents = *total_cents;
            }
            OrderEvent::Shipped { tracking_number } => {
                self.status = Some(Status::Shipped);
                self.tracking_number = Some(tracking_number.clone());
            }
            OrderEvent::Cancelled { reason } => {
                self.status = Some(Status::Cancelled);
                self.cancel_reason = Some(reason.clone());
            }
            OrderEvent::Paid { payment_id, .. } => self.payment_id = Some(payment_id.clone()),
            OrderEvent::StockReserved { sku } => drop(self.reserved.insert(sku.clone())),
            OrderEvent::PaymentDeclined { .. } => self.declined = true,
            OrderEvent::Refunded => self.refunded = true,
            OrderEvent::OutOfStock { sku } => self.out_of_stock = Some(sku.clone()),
            OrderEvent::StockReturned { sku } => drop(self.returned.insert(sku.clone())),
        }
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Created twice.
    #[error("Order already created")]
    AlreadyCreated,
    /// Nothing is known of it.
    #[error("Order does not exist")]
    DoesNotExist,
    /// It is shipped or cancelled already.
    #[error("Cannot ship order in {0} status")]
    CannotShip(Status),
    /// It is shipped already.
    #[error("Cannot cancel order in {0} status")]
    CannotCancel(Status),
    /// An order of nothing.
    #[error("an order has at least one item")]
    NoItems,
    /// More than [`ITEMS_MAX`].
    #[error("an order has at most {ITEMS_MAX} items, this one has {0}; split it")]
    TooManyItems(usize),
    /// None of something.
    #[error("the quantity of {sku} is 0; order at least 1, or leave the item out")]
    NoQuantity {
        /// Of what.
        sku: String,
    },
    /// A total beyond counting.
    #[error("the order's total is too large to be counted in cents; check quantities and prices")]
    TotalTooLarge,
    /// A customer id, SKU or tracking number that cannot be used.
    #[error(transparent)]
    Invalid(#[from] InvalidId),
}

/// Places an order.
#[derive(Debug, Clone, Serialize)]
pub struct CreateOrder {
    /// Who.
    pub customer_id: String,
    /// What.
    pub items: Vec<Item>,
    /// Within how many seconds it is to be paid and reserved; the usual time unless said. An option of the server, so it is no part of
    /// what an idempotency key stands for.
    #[serde(skip)]
    pub due_seconds: Option<u32>,
}

impl CreateOrder {
    fn total_cents(&self) -> Result<u64, OrderError> {
        let mut total = 0_u64;
        for Item { sku, quantity, price_cents } in &self.items {
            check_id("SKU", sku)?;
            if *quantity == 0 {
                return Err(OrderError::NoQuantity { sku: sku.clone() });
            }
            let line = price_cents.checked_mul(u64::from(*quantity));
            total = line.and_then(|line| total.checked_add(line)).ok_or(OrderError::TotalTooLarge)?;
        }
        Ok(total)
    }
}

impl Command<Order> for CreateOrder {
    type Error = OrderError;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, OrderError> {
        if order.status.is_some() {
            return Err(OrderError::AlreadyCreated);
        }
        check_id("customer id", &self.customer_id)?;
        match self.items.len() {
            0 => return Err(OrderError::NoItems),
            count if count > ITEMS_MAX => return Err(OrderError::TooManyItems(count)),
            _ => {}
        }
        let total_cents = self.total_cents()?;
        Ok(vec![OrderEvent::Created {
            customer_id: self.customer_id.clone(),
            items: self.items.clone(),
            total_cents,
            due_seconds: self.due_seconds,
        }])
    }
}

/// Ships an order by hand.
#[derive(Debug, Clone, Serialize)]
pub struct ShipOrder {
    /// The parcel.
    pub tracking_number: String,
}

impl Command<Order> for ShipOrder {
    type Error = OrderError;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, OrderError> {
        check_id("tracking number", &self.tracking_number)?;
        match order.status {
            None => Err(OrderError::DoesNotExist),
            Some(Status::Pending) => {
                Ok(vec![OrderEvent::Shipped { tracking_number: self.tracking_number.clone() }])
            }
            Some(status) => Err(OrderError::CannotShip(status)),
        }
    }
}

/// Cancels an order. One that is cancelled already stays as it is.
#[derive(Debug, Clone, Serialize)]
pub struct CancelOrder {
    /// Why.
    pub reason: String,
}

impl Command<Order> for CancelOrder {
    type Error = OrderError;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, OrderError> {
        match order.status {
            None => Err(OrderError::DoesNotExist),
            Some(Status::Pending) => Ok(vec![OrderEvent::Cancelled { reason: self.reason.clone() }]),
            Some(Status::Cancelled) => Ok(vec![]),
            Some(status @ Status::Shipped) => Err(OrderError::CannotCancel(status)),
        }
    }
}

/// What the other services say about an order, to be recorded once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The payment is in.
    Paid {
        /// The gateway's name for it.
        payment_id: String,
    },
    /// There will be no payment.
    Declined {
        /// Why.
        reason: String,
    },
    /// The money went back.
    Refunded,
    /// All that it needs of one SKU is reserved.
    Reserved {
        /// The SKU.
        sku: String,
    },
    /// The stock has too little.
    OutOfStock {
        /// Of which SKU.
        sku: String,
    },
    /// What was reserved went back.
    Returned {
        /// Of which SKU.
        sku: String,
    },
}

impl Note {
    fn is_known(&self, order: &Order) -> bool {
        match self {
            Self::Paid { .. } => order.payment_id.is_some(),
            Self::Declined { .. } => order.declined,
            Self::Refunded => order.refunded,
            Self::Reserved { sku } => order.reserved.contains(sku),
            Self::OutOfStock { .. } => order.out_of_stock.is_some(),
            Self::Returned { sku } => order.returned.contains(sku),
        }
    }
}

impl Command<Order> for Note {
    type Error = OrderError;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, OrderError> {
        if order.status.is_none() {
            return Err(OrderError::DoesNotExist);
        }
        if self.is_known(order) {
            return Ok(vec![]);
        }
        Ok(vec![match self.clone() {
            Self::Paid { payment_id } => OrderEvent::Paid { gateway: GATEWAY.to_owned(), payment_id },
            Self::Declined { reason } => OrderEvent::PaymentDeclined { reason },
            Self::Refunded => OrderEvent::Refunded,
            Self::Reserved { sku } => OrderEvent::StockReserved { sku },
            Self::OutOfStock { sku } => OrderEvent::OutOfStock { sku },
            Self::Returned { sku } => OrderEvent::StockReturned { sku },
        }])
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
