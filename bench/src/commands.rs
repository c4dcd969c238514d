//! What factstream does wherever commands are measured: orders created and shipped by callers side by side.

use crate::Failed;
use crate::figures::{Figures, Step, Times, drive};
use crate::workload::{Ids, create, ship};
use factstream::{App, Command};
use orders::order::Order;
use std::time::Instant;

/// An app of orders on a store.
pub(crate) async fn open(url: &str) -> Result<App, Failed> {
    Ok(App::builder(url).upcasters(orders::order::upcasters()).aggregate::<Order>().open().await?)
}

/// Creates and ships new orders.
pub(crate) async fn run(app: &App, callers: u64, orders: u64) -> Result<Figures, Failed> {
    let (app, ids) = (app.clone(), Ids::new());
    drive(callers, orders, move |order, step| {
        let app = app.clone();
        async move {
            match step {
                Step::Create => app.execute::<Order, _>(ids.order(order), create(order)).await.map(drop)?,
                Step::Ship => app.execute::<Order, _>(ids.order(order), ship(order)).await.map(drop)?,
            }
            Ok(())
        }
    })
    .await
}

/// Creates and ships new orders, so many in one call.
pub(crate) async fn run_in_bulk(app: &App, per_call: u64, orders: u64) -> Result<Figures, Failed> {
    let ids = Ids::new();
    let (began, mut times) = (Instant::now(), Times::new());
    for first in (0..orders).step_by(usize::try_from(per_call)?) {
        let numbers = first..orders.min(first + per_call);
        let began = Instant::now();
        execute_all(app, numbers.clone().map(|order| (ids.order(order), create(order)))).await?;
        times.record(began.elapsed());
        let began = Instant::now();
        execute_all(app, numbers.map(|order| (ids.order(order), ship(order)))).await?;
        times.record(began.elapsed());
    }
    Ok(Figures::rate(orders * 2, began).with_latency(&times))
}

async fn execute_all<C: Command<Order> + 'static>(
    app: &App,
    commands: impl Iterator<Item = (String, C)>,
) -> Result<(), Failed> {
    for outcome in app.execute_all::<Order, _>(commands).await? {
        outcome?;
    }
    Ok(())
}
