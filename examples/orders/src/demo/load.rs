//! Orders through the real command path: many callers, repeats with the same key, a declined payment, an unknown SKU.

use crate::Failed;
use crate::gateway::{DECLINED_PREFIX, SLOW_PREFIX};
use crate::inventory::{AddStock, Stock};
use crate::order::OrderEvent;
use crate::order::{CreateOrder, Item, Order};
use crate::projection::OrderProjection;
use factstream::{App, Executed};
use futures_util::stream::{self, TryStreamExt};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use std::sync::Mutex;
use std::time::Instant;
use uuid::Uuid;

/// SKUs that are stocked: `SKU-1` to `SKU-100`.
pub const SKUS: u32 = 100;
/// A SKU that nobody stocks.
pub const UNKNOWN_SKU: &str = "SKU-UNKNOWN";
/// Orders that are placed at the same time.
const CALLERS: usize = 32;
/// Every so many orders are followed until their row can be read.
const SAMPLE: u32 = 5;
/// Every so many orders are placed twice with the same key.
const REPEAT: u32 = 10;
/// Every so many orders are declined by the gateway.
const DECLINED: u32 = 25;
/// So many orders, the first after that for the unknown SKU, are due before the gateway answers.
const OVERDUE: u32 = 8;
/// When these are due, and the order for the unknown SKU; all others in the usual time.
const DUE_SECONDS: u32 = 1;
/// When the gateway answers for them.
const PAID_SECONDS: u32 = 3;

/// What was placed, as the callers know it.
#[derive(Debug)]
pub struct Load {
    /// The orders that were acknowledged.
    pub orders: Vec<Placed>,
    /// How many were placed a second time with the same key.
    pub repeats: u32,
    /// From a command to its visible row, microseconds.
    pub latency: Histogram<u64>,
}

/// One acknowledged order.
#[derive(Debug)]
pub struct Placed {
    /// Its id.
    pub order_id: String,
    /// What must become of it.
    pub fate: Fate,
    /// Whether a repeat with the same key was told the same order.
    pub repeat_told_the_same: bool,
}

/// What must become of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Paid, reserved and shipped.
    Shipped,
    /// Its payment is declined: cancelled.
    Cancelled,
    /// Its payment comes after it is due: cancelled, and the money goes back. On a machine that is so slow that the process learns of the
    /// payment first, it is shipped.
    Overdue,
    /// Nobody stocks what it wants, which is a dead letter: cancelled in time, and the money goes back.
    Unstocked,
}

/// Stocks the SKUs and places the orders.
///
/// # Errors
/// When the store reports an error, or a command is refused.
pub async fn place(app: &App, orders: u32, bar: &ProgressBar) -> Result<Load, Failed> {
    // Enough for this run: at most 3 of a SKU for each order, twice over.
    let quantity = 6 * orders.div_ceil(SKUS).max(10);
    stream::iter((1..=SKUS).map(Ok::<u32, Failed>))
        .try_for_each_concurrent(CALLERS, |n| async move {
            let sku = format!("SKU-{n}");
            app.execute::<Stock, _>(sku.clone(), AddStock { sku, quantity }).await?;
            Ok(())
        })
        .await?;
    let latency = Mutex::new(Histogram::new(3)?);
    let placed: Vec<Placed> = stream::iter((0..orders).map(Ok::<u32, Failed>))
        .map_ok(|n| {
            let latency = &latency;
            async move {
                let placed = place_one(app, n, latency).await?;
                bar.inc(1);
                Ok(placed)
            }
        })
        .try_buffer_unordered(CALLERS)
        .try_collect()
        .await?;
    let repeats = (0..orders).filter(|n| n % REPEAT == 0).count() as u32;
    let latency = latency.into_inner().map_err(|_| "a caller panicked")?;
    Ok(Load { orders: placed, repeats, latency })
}

async fn place_one(app: &App, n: u32, latency: &Mutex<Histogram<u64>>) -> Result<Placed, Failed> {
    let fate = match n {
        0 => Fate::Unstocked,
        n if n <= OVERDUE => Fate::Overdue,
        n if n % DECLINED == 1 => Fate::Cancelled,
        _ => Fate::Shipped,
    };
    let (key, started) = (Uuid::now_v7().to_string(), Instant::now());
    let done = create(app, n, fate, &key).await?;
    if n.is_multiple_of(SAMPLE) {
        let row =
            app.read::<OrderProjection>().wait_for(done.position).get(done.aggregate_id.as_str()).await?;
        row.ok_or("an order was created, but its row is not there")?;
        let micros = u64::try_from(started.elapsed().as_micros())?;
        latency.lock().map_err(|_| "a caller panicked")?.record(micros.max(1))?;
    }
    let repeat_told_the_same = if n.is_multiple_of(REPEAT) {
        let again = create(app, n, fate, &key).await?;
        again.repeated && (&again.aggregate_id, again.position) == (&done.aggregate_id, done.position)
    } else {
        true
    };
    Ok(Placed { order_id: done.aggregate_id, fate, repeat_told_the_same })
}

/// Creates an order as the HTTP API does: with a key that was used before, the first one counts.
async fn create(app: &App, n: u32, fate: Fate, key: &str) -> Result<Executed<OrderEvent>, Failed> {
    let customer_id = match fate {
        Fate::Cancelled => format!("{DECLINED_PREFIX}-{}", n % 50),
        Fate::Overdue => format!("{SLOW_PREFIX}{PAID_SECONDS}"),
        Fate::Shipped | Fate::Unstocked => format!("customer-{}", n % 50),
    };
    let due_seconds = matches!(fate, Fate::Overdue | Fate::Unstocked).then_some(DUE_SECONDS);
    let sku = |n: u32| match fate {
        Fate::Unstocked => UNKNOWN_SKU.to_owned(),
        _ => format!("SKU-{}", n % SKUS + 1),
    };
    let mut items = vec![Item { sku: sku(n), quantity: n % 3 + 1, price_cents: 1_999 }];
    if n % 4 == 2 {
        items.push(Item { sku: sku(n + 7), quantity: 1, price_cents: 499 });
    }
    let command = CreateOrder { customer_id, items, due_seconds };
    Ok(app.create::<Order, _>(command).key(key).await?)
}
