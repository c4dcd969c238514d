//! Is the outcome right? A fold over the whole log, by itself, against the rows, the ledger of the callers and the dead
//! letters.

use super::load::{Fate, Load};
use super::processes;
use crate::Failed;
use crate::analytics::OrderRevenue;
use crate::inventory::{Reason, SERVICE as INVENTORY, StockEvent};
use crate::order::{OrderEvent, Status};
use crate::payment::{PaymentEvent, PaymentStatus};
use crate::projection::OrderProjection;
use factstream::dead_letters::Summary;
use factstream::event::EventSet;
use factstream::{App, Fold, ReadModel, RecordedEvent};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

const PAGE: usize = 1_000;

/// What was checked, and what was found wrong.
#[derive(Debug)]
pub struct Report {
    /// One line for each thing that must hold, with what was found against it.
    pub checks: Vec<Check>,
    /// Orders by what became of them.
    pub statuses: BTreeMap<String, u64>,
    /// Orders that were cancelled because they were not paid or not reserved when they were due.
    pub overdue: usize,
    /// What went back because orders were cancelled.
    pub given_back: GivenBack,
    /// Orders that nothing held up, and how long it took from the first of them that was placed to the last that was shipped.
    pub shipped: (usize, Duration),
}

/// What went back because orders were cancelled: the compensations.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenBack {
    /// Payments.
    pub payments: usize,
    /// What they came to.
    pub cents: u64,
    /// Pieces of stock.
    pub pieces: u64,
}

/// One thing that must hold.
#[derive(Debug)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// How many things were looked at.
    pub looked_at: usize,
    /// What was found against it, at most a few.
    pub against: Vec<String>,
}

impl Report {
    /// Whether everything holds.
    pub fn is_consistent(&self) -> bool {
        self.checks.iter().all(|check| check.against.is_empty())
    }
}

/// What a fold over the log gives.
#[derive(Default)]
struct Folded {
    positions: u64,
    gaps: Vec<String>,
    versions: HashMap<(String, String), u64>,
    rows: BTreeMap<String, OrderProjection>,
    created: BTreeMap<String, u64>,
    payments: BTreeMap<String, u64>,
    approved: BTreeMap<String, u64>,
    refunded: BTreeMap<String, Vec<u64>>,
    reasons: BTreeMap<String, String>,
    pieces_returned: u64,
    stock: BTreeMap<String, i64>,
    stock_wrong: Vec<String>,
    reserved: BTreeMap<String, i64>,
}

/// Checks everything that the log, the rows and the callers know.
///
/// # Errors
/// When the store cannot be read.
pub async fn check(app: &App, load: &Load) -> Result<Report, Failed> {
    let folded = fold(app).await?;
    let revenues = rows(app, |row: &OrderRevenue| row.order_id.clone()).await?;
    let rows = rows(app, |row: &OrderProjection| row.order_id.clone()).await?;
    let letters = app.dead_letters().list(Some(INVENTORY), false, 0).await?;
    let all_letters = app.dead_letters().list(None, false, 0).await?;
    let mut statuses = BTreeMap::new();
    for row in folded.rows.values() {
        *statuses.entry(row.status.to_string()).or_default() += 1;
    }
    let of_load = |against: &dyn Fn(&super::load::Placed) -> Option<String>| {
        load.orders.iter().filter_map(against).collect::<Vec<_>>()
    };
    let checks = vec![
        new("positions have no gap, versions are contiguous", folded.positions as usize, folded.gaps.clone()),
        new(
            "each acknowledged order was created exactly once",
            load.orders.len(),
            of_load(&|order| match folded.created.get(&order.order_id) {
                Some(1) => None,
                times => Some(format!("{}: {times:?}", order.order_id)),
            }),
        ),
        new(
            "a repeat with the same key was told the same order",
            load.repeats as usize,
            of_load(&|order| (!order.repeat_told_the_same).then(|| order.order_id.clone())),
        ),
        new(
            "each order was charged exactly once",
            folded.created.len(),
            once(folded.created.keys(), &folded.payments),
        ),
        new(
            "each order came to what it had to come to",
            load.orders.len(),
            of_load(&|order| {
                let found = folded.rows.get(&order.order_id).map(|row| row.status);
                let reason = folded.reasons.get(&order.order_id).map(String::as_str);
                let is_so = match (found, reason) {
                    (Some(Status::Shipped), None) => matches!(order.fate, Fate::Shipped | Fate::Overdue),
                    (Some(Status::Cancelled), Some(reason)) => match order.fate {
                        Fate::Shipped => false,
                        Fate::Cancelled => reason.starts_with("payment declined"),
                        Fate::Overdue | Fate::Unstocked => is_overdue(reason),
                    },
                    _ => false,
                };
                (!is_so).then(|| format!("{}: {:?}, but {found:?} {reason:?}", order.order_id, order.fate))
            }),
        ),
        new(
            "what is shipped is paid and was taken from the stock",
            folded.rows.values().filter(|row| row.status == Status::Shipped).count(),
            shipped(&folded),
        ),
        new(
            "stock is conserved and never negative; what is cancelled holds none",
            folded.stock.len(),
            folded.stock_wrong.clone(),
        ),
        new(
            "money is conserved: what is cancelled was refunded in full, once, and nothing else was",
            folded.approved.len(),
            folded.money_wrong(),
        ),
        new(
            "each order's process has ended, and no timer of one is left",
            load.orders.len(),
            processes::unfinished(app, load).await?,
        ),
        new("the rows of order_projections equal the fold", rows.len(), differing(&rows, &folded.rows)),
        new(
            "order_revenue has what each order brought in, and no payment came before its order",
            revenues.len(),
            differing(&revenues, &folded.revenues()),
        ),
        new(
            "dead letters are the orders of an unknown SKU, and no others",
            all_letters.len(),
            unwanted(load, &letters, &all_letters),
        ),
    ];
    let overdue = folded.reasons.values().filter(|reason| is_overdue(reason)).count();
    Ok(Report { checks, statuses, overdue, given_back: folded.given_back(), shipped: folded.shipped(load) })
}

/// Orders of an unknown SKU without a dead letter, and dead letters of anything else.
fn unwanted(load: &Load, letters: &[Summary], all_letters: &[Summary]) -> Vec<String> {
    let unstocked = load.orders.iter().filter(|order| order.fate == Fate::Unstocked);
    let missing = unstocked.filter(|order| !letters.iter().any(|letter| letter.key == order.order_id));
    let missing = missing.map(|order| format!("{}: no dead letter", order.order_id));
    let others = all_letters.iter().filter(|letter| letter.handler != INVENTORY);
    missing.chain(others.map(|letter| format!("dead letter {} of {}", letter.id, letter.handler))).collect()
}

/// Whether an order was cancelled because it was due.
fn is_overdue(reason: &str) -> bool {
    reason.contains("in time")
}

fn new(what: &'static str, looked_at: usize, mut against: Vec<String>) -> Check {
    against.truncate(5);
    Check { what, looked_at, against }
}

async fn fold(app: &App) -> Result<Folded, Failed> {
    let mut folded = Folded::default();
    loop {
        let page = app.read_log(folded.positions, PAGE).await?;
        for event in &page {
            folded.take(event)?;
        }
        if page.len() < PAGE {
            break;
        }
    }
    // What went out for an order that was cancelled has come back: nothing is held for it.
    for (order, held) in &folded.reserved {
        let cancelled = folded.rows.get(order).is_some_and(|row| row.status == Status::Cancelled);
        if cancelled && *held != 0 {
            folded.stock_wrong.push(format!("{order} is cancelled, but holds {held}"));
        }
    }
    Ok(folded)
}

impl Folded {
    fn take(&mut self, event: &RecordedEvent) -> Result<(), Failed> {
        if event.position != self.positions + 1 {
            self.gaps.push(format!("position {} follows {}", event.position, self.positions));
        }
        self.positions = event.position;
        let stream = (event.aggregate_type.clone(), event.aggregate_id.clone());
        let version = self.versions.entry(stream).or_default();
        if event.version != *version + 1 {
            self.gaps.push(format!("version {} of {} follows {version}", event.version, event.aggregate_id));
        }
        *version = event.version;
        if let Some(order) = OrderEvent::decode(&event.event_type, &event.data).transpose()? {
            self.take_order(event, order)?;
        }
        if let Some(payment) = PaymentEvent::decode(&event.event_type, &event.data).transpose()? {
            self.take_payment(payment);
        }
        if let Some(stock) = StockEvent::decode(&event.event_type, &event.data).transpose()? {
            self.take_stock(event.position, stock);
        }
        Ok(())
    }

    fn take_order(&mut self, event: &RecordedEvent, order: OrderEvent) -> Result<(), Failed> {
        let id = &event.aggregate_id;
        match &order {
            OrderEvent::Created { .. } => *self.created.entry(id.clone()).or_default() += 1,
            OrderEvent::Cancelled { reason } => drop(self.reasons.insert(id.clone(), reason.clone())),
            _ => {}
        }
        let row = OrderProjection::fold(self.rows.remove(id), &event.envelope()?.with(order));
        self.rows.extend(row.map(|row| (id.clone(), row)));
        Ok(())
    }

    fn take_payment(&mut self, payment: PaymentEvent) {
        match payment {
            PaymentEvent::Processed { order_id, status, amount_cents, .. } => {
                *self.payments.entry(order_id.clone()).or_default() += 1;
                if status == PaymentStatus::Approved {
                    self.approved.insert(order_id, amount_cents);
                }
            }
            PaymentEvent::Refunded { order_id, amount_cents, .. } => {
                self.refunded.entry(order_id).or_default().push(amount_cents);
            }
            PaymentEvent::RefundRequested { .. } => {}
        }
    }

    fn take_stock(&mut self, position: u64, stock: StockEvent) {
        let StockEvent::Updated { sku, change, available, reason, order_id } = stock;
        let counted = self.stock.entry(sku.clone()).or_default();
        *counted += change;
        if *counted < 0 || i64::try_from(available) != Ok(*counted) {
            self.stock_wrong.push(format!("at {position} {sku} says {available}, counted {counted}"));
        }
        if let (Reason::Reserved | Reason::Returned, Some(order)) = (reason, order_id) {
            *self.reserved.entry(order).or_default() -= change;
            self.pieces_returned += u64::try_from(change).unwrap_or(0);
        }
    }

    fn money_wrong(&self) -> Vec<String> {
        let is_cancelled = |order: &String| self.reasons.contains_key(order);
        let orders: BTreeSet<&String> = self.approved.keys().chain(self.refunded.keys()).collect();
        let wrong = orders.into_iter().filter_map(|order| {
            let back = self.approved.get(order).filter(|_| is_cancelled(order));
            let found = self.refunded.get(order).cloned().unwrap_or_default();
            let wanted: Vec<u64> = back.copied().into_iter().collect();
            (found != wanted).then(|| format!("{order}: refunds of {found:?} cents, not {wanted:?}"))
        });
        wrong.collect()
    }

    /// What each order brought in.
    fn revenues(&self) -> BTreeMap<String, OrderRevenue> {
        let revenue = |(order, row): (&String, &OrderProjection)| {
            let paid = self.approved.get(order).copied();
            let refunded: u64 = self.refunded.get(order).into_iter().flatten().sum();
            let revenue = OrderRevenue {
                order_id: order.clone(),
                customer_id: Some(row.customer_id.clone()),
                payments: i64::from(paid.is_some()),
                paid_cents: paid.unwrap_or(0).cast_signed() - refunded.cast_signed(),
                is_out_of_order: false,
            };
            (order.clone(), revenue)
        };
        self.rows.iter().map(revenue).collect()
    }

    fn shipped(&self, load: &Load) -> (usize, Duration) {
        let orders = load.orders.iter().filter(|order| order.fate == Fate::Shipped);
        let times = orders.filter_map(|order| {
            let row = self.rows.get(&order.order_id)?;
            Some((row.created_at, row.shipped_at?))
        });
        let times: Vec<_> = times.collect();
        let begin = times.iter().map(|(created, _)| *created).min().unwrap_or_default();
        let end = times.iter().map(|(_, shipped)| *shipped).max().unwrap_or_default();
        (times.len(), Duration::try_from(end.duration_since(begin)).unwrap_or_default())
    }

    fn given_back(&self) -> GivenBack {
        let refunds = self.refunded.values().flatten();
        GivenBack { payments: refunds.clone().count(), cents: refunds.sum(), pieces: self.pieces_returned }
    }
}

fn once<'a>(orders: impl Iterator<Item = &'a String>, payments: &BTreeMap<String, u64>) -> Vec<String> {
    let wrong = orders.filter(|order| payments.get(*order) != Some(&1));
    wrong
        .map(|order| format!("{order}: charged {} times", payments.get(order).copied().unwrap_or(0)))
        .collect()
}

fn shipped(folded: &Folded) -> Vec<String> {
    let shipped = folded.rows.values().filter(|row| row.status == Status::Shipped);
    let wrong = shipped.filter(|row| {
        let wanted: i64 = row.items.iter().map(|item| i64::from(item.quantity)).sum();
        !folded.approved.contains_key(&row.order_id) || folded.reserved.get(&row.order_id) != Some(&wanted)
    });
    wrong.map(|row| row.order_id.clone()).collect()
}

async fn rows<R: ReadModel<Key = String>>(
    app: &App,
    key: impl Fn(&R) -> String,
) -> Result<BTreeMap<String, R>, Failed> {
    let (mut rows, mut cursor) = (BTreeMap::new(), None::<String>);
    loop {
        let mut read = app.read::<R>().limit(PAGE);
        if let Some(cursor) = cursor {
            read = read.after(cursor);
        }
        let page = read.list().await?;
        rows.extend(page.rows.into_iter().map(|row| (key(&row), row)));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(rows);
        }
    }
}

fn differing<R: PartialEq + fmt::Debug>(
    rows: &BTreeMap<String, R>,
    folded: &BTreeMap<String, R>,
) -> Vec<String> {
    let orders: BTreeSet<&String> = rows.keys().chain(folded.keys()).collect();
    let different = orders.into_iter().filter(|order| rows.get(*order) != folded.get(*order));
    different
        .map(|order| format!("{order}: row {:?}, fold {:?}", rows.get(order), folded.get(order)))
        .collect()
}
