//! The three services in one process, with a gateway that never fails.

use super::{CALLERS, SKUS};
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use factstream::App;
use orders::app::{self, Config};
use orders::demo::settle;
use orders::inventory::{AddStock, Stock};
use orders::order::{CreateOrder, Item, Order};
use orders::projection::OrderProjection;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);
/// Every so many orders are followed until their row can be read.
const FOLLOWED: u64 = 5;

pub(crate) async fn run(place: Place) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir_in(&place.folder)?;
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    let app = app::open(Config { store, gateway_failure_rate: 0.0, ..Config::default() }).await?;
    for n in 1..=SKUS {
        let sku = format!("SKU-{n}");
        let quantity = u32::try_from(place.size)? * 6;
        app.execute::<Stock, _>(sku.clone(), AddStock { sku, quantity }).await?;
    }
    let running = app.start().await?;
    settle(&app, PATIENCE).await?;
    let began = Instant::now();
    let callers: Vec<_> =
        (0..CALLERS).map(|caller| tokio::spawn(call(app.clone(), caller, place.size))).collect();
    let mut times = Times::new();
    for caller in callers {
        times.add(&caller.await??);
    }
    settle(&app, PATIENCE).await?;
    let figures = Figures::rate(place.size, began).with_latency(&times);
    running.stop(PATIENCE).await;
    let events = app.head().await?;
    match events == SKUS + place.size * 7 {
        true => Ok(figures),
        false => Err(format!("{events} events were recorded").into()),
    }
}

/// Places every n-th order. From the command to its row: of every few.
async fn call(app: App, caller: u64, orders: u64) -> Result<Times, Failed> {
    let mut times = Times::new();
    for number in (caller..orders).step_by(CALLERS as usize) {
        let sku = format!("SKU-{}", number % SKUS + 1);
        let items = vec![Item { sku, quantity: (number % 3 + 1) as u32, price_cents: 1_999 }];
        let began = Instant::now();
        let command =
            CreateOrder { customer_id: format!("customer-{}", number % 50), items, due_seconds: None };
        let placed = app.create::<Order, _>(command).await?;
        if number.is_multiple_of(FOLLOWED) {
            let row =
                app.read::<OrderProjection>().wait_for(placed.position).get(placed.aggregate_id).await?;
            row.ok_or("an order was placed, but its row is not there")?;
            times.record(began.elapsed());
        }
    }
    Ok(times)
}
