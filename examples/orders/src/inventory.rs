//! The inventory service: the aggregate Stock (one for each SKU), and the consumer that reserves and returns.
//!
//! Invariants: what is available is never negative. An order's lines are reserved all together or not at all, once, and
//! what comes back is what was reserved ([`Reservation`] remembers it, so that the stock's own state stays small).

use crate::reservation::{HoldLines, Line, Release, Reservation};
use factstream::envelope::{InvalidId, check_id};
use factstream::{
    Aggregate, Command, Consumer, Envelope, Event, Failure, Handler, Shape, SnapshotPolicy, Tx,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The consumer group.
pub const SERVICE: &str = "inventory";

/// What happened to a SKU's stock.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "inventory.events")]
pub enum StockEvent {
    /// It changed, or could not serve an order.
    #[event(name = "InventoryUpdated", version = 1)]
    Updated {
        /// The SKU.
        sku: String,
        /// What came (positive) or went (negative).
        change: i64,
        /// What can be reserved now.
        available: u64,
        /// Why.
        reason: Reason,
        /// The order it was for, if any.
        order_id: Option<String>,
    },
}

/// Why a stock was updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Goods came in.
    Stocked,
    /// An order took them.
    Reserved,
    /// A cancelled order gave them back.
    Returned,
    /// An order wanted more than there is; nothing changed.
    OutOfStock,
}

/// The stock of one SKU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Whether anything was ever stocked under this SKU.
    pub known: bool,
    /// What can be reserved.
    pub available: u64,
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Event = StockEvent;

    fn apply(&mut self, StockEvent::Updated { available, .. }: &StockEvent) {
        self.known = true;
        self.available = *available;
    }

    fn snapshots() -> Option<SnapshotPolicy<Self>> {
        Some(SnapshotPolicy::json(100, 1))
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// Nothing was ever stocked under this SKU.
    #[error("unknown SKU {sku}: stock it, then redrive")]
    UnknownSku {
        /// The SKU.
        sku: String,
    },
    /// Less is there than wanted.
    #[error("{wanted} of {sku} are wanted, {available} are there")]
    TooLittle {
        /// The SKU.
        sku: String,
        /// How many are wanted.
        wanted: u64,
        /// How many there are.
        available: u64,
    },
    /// None of something.
    #[error("the quantity is 0; give at least 1")]
    NoQuantity,
    /// More than can be counted.
    #[error("{sku} would have more than can be counted; give a smaller quantity")]
    TooMuch {
        /// The SKU.
        sku: String,
    },
    /// A SKU that cannot be used.
    #[error(transparent)]
    Invalid(#[from] InvalidId),
}

/// Puts goods into the stock.
#[derive(Debug, Clone, Serialize)]
pub struct AddStock {
    /// The SKU: also the aggregate's id.
    pub sku: String,
    /// How many, at least 1.
    pub quantity: u32,
}

impl Command<Stock> for AddStock {
    type Error = StockError;

    fn decide(&self, stock: &Stock) -> Result<Vec<StockEvent>, StockError> {
        check_id("SKU", &self.sku)?;
        if self.quantity == 0 {
            return Err(StockError::NoQuantity);
        }
        put(stock, &self.sku, u64::from(self.quantity), Reason::Stocked, None)
    }
}

/// Takes goods for an order.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// For which order.
    pub order_id: String,
    /// What and how many.
    pub line: Line,
}

impl Command<Stock> for Reserve {
    type Error = StockError;

    fn decide(&self, stock: &Stock) -> Result<Vec<StockEvent>, StockError> {
        let Line { sku, quantity } = &self.line;
        if !stock.known {
            return Err(StockError::UnknownSku { sku: sku.clone() });
        }
        let (wanted, left) = (*quantity, stock.available.checked_sub(*quantity));
        let too_little = || StockError::TooLittle { sku: sku.clone(), wanted, available: stock.available };
        Ok(vec![StockEvent::Updated {
            sku: sku.clone(),
            change: -change(sku, wanted)?,
            available: left.ok_or_else(too_little)?,
            reason: Reason::Reserved,
            order_id: Some(self.order_id.clone()),
        }])
    }
}

/// Puts back what was reserved for an order.
#[derive(Debug, Clone)]
pub struct Return {
    /// From which order.
    pub order_id: String,
    /// What and how many.
    pub line: Line,
}

impl Command<Stock> for Return {
    type Error = StockError;

    fn decide(&self, stock: &Stock) -> Result<Vec<StockEvent>, StockError> {
        put(stock, &self.line.sku, self.line.quantity, Reason::Returned, Some(&self.order_id))
    }
}

/// Says that an order wanted more than there is.
#[derive(Debug, Clone)]
pub struct ReportOutOfStock {
    /// Which order.
    pub order_id: String,
    /// Of what.
    pub sku: String,
}

impl Command<Stock> for ReportOutOfStock {
    type Error = StockError;

    fn decide(&self, stock: &Stock) -> Result<Vec<StockEvent>, StockError> {
        Ok(vec![StockEvent::Updated {
            sku: self.sku.clone(),
            change: 0,
            available: stock.available,
            reason: Reason::OutOfStock,
            order_id: Some(self.order_id.clone()),
        }])
    }
}

fn put(
    stock: &Stock,
    sku: &str,
    quantity: u64,
    reason: Reason,
    order_id: Option<&String>,
) -> Result<Vec<StockEvent>, StockError> {
    let available = stock.available.checked_add(quantity).filter(|sum| i64::try_from(*sum).is_ok());
    Ok(vec![StockEvent::Updated {
        sku: sku.to_owned(),
        change: change(sku, quantity)?,
        available: available.ok_or_else(|| StockError::TooMuch { sku: sku.to_owned() })?,
        reason,
        order_id: order_id.cloned(),
    }])
}

fn change(sku: &str, quantity: u64) -> Result<i64, StockError> {
    i64::try_from(quantity).map_err(|_| StockError::TooMuch { sku: sku.to_owned() })
}

/// What this service reads of one line of an order; what it costs is none of its business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Wanted {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// What this service reads of the order service's events.
#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
pub enum OrderFact {
    /// Goods are wanted.
    #[event(name = "OrderCreated", version = 1)]
    Created {
        /// Which ones.
        items: Vec<Wanted>,
    },
    /// Goods are not wanted any more.
    #[event(name = "OrderCancelled", version = 1)]
    Cancelled {},
}

/// The consumer of this service.
pub fn consumer() -> Consumer {
    Consumer::new(SERVICE).handler(Reserving)
}

/// Reserves for orders that are created, returns what cancelled ones had. Exactly once.
struct Reserving;

impl Handler for Reserving {
    type Events = OrderFact;

    async fn handle(&self, event: &Envelope<OrderFact>, tx: &mut Tx) -> Result<(), Failure> {
        let order_id = &event.aggregate_id;
        match &event.event {
            OrderFact::Created { items } => reserve(order_id, lines(items), tx).await,
            OrderFact::Cancelled {} => give_back(order_id, tx).await,
        }
    }
}

/// The order's items by SKU: lines of the same SKU are added up.
fn lines(items: &[Wanted]) -> Vec<Line> {
    let mut by_sku = BTreeMap::<&str, u64>::new();
    for item in items {
        let quantity = by_sku.entry(&item.sku).or_default();
        *quantity = quantity.saturating_add(u64::from(item.quantity));
    }
    by_sku.into_iter().map(|(sku, quantity)| Line { sku: sku.to_owned(), quantity }).collect()
}

/// All lines or none. A SKU that nobody knows needs a person; one that is sold out is the order service's to answer.
async fn reserve(order_id: &str, lines: Vec<Line>, tx: &mut Tx) -> Result<(), Failure> {
    let (reservation, _) = tx.load::<Reservation>(order_id).await?;
    if reservation != Reservation::None {
        return Ok(());
    }
    let mut short = None;
    for Line { sku, quantity } in &lines {
        let (stock, _) = tx.load::<Stock>(sku).await?;
        if !stock.known {
            return Err(Failure::permanent(StockError::UnknownSku { sku: sku.clone() }));
        }
        if stock.available < *quantity {
            short = short.or(Some(sku));
        }
    }
    if let Some(sku) = short {
        let report = ReportOutOfStock { order_id: order_id.to_owned(), sku: sku.clone() };
        tx.command::<Stock, _>(sku, report).await?;
        return Ok(());
    }
    for line in &lines {
        let reserve = Reserve { order_id: order_id.to_owned(), line: line.clone() };
        tx.command::<Stock, _>(&line.sku, reserve).await?;
    }
    tx.command::<Reservation, _>(order_id, HoldLines { lines }).await?;
    Ok(())
}

async fn give_back(order_id: &str, tx: &mut Tx) -> Result<(), Failure> {
    let (reservation, _) = tx.load::<Reservation>(order_id).await?;
    let Reservation::Held { lines } = reservation else { return Ok(()) };
    for line in lines {
        let sku = line.sku.clone();
        tx.command::<Stock, _>(&sku, Return { order_id: order_id.to_owned(), line }).await?;
    }
    tx.command::<Reservation, _>(order_id, Release).await?;
    Ok(())
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
