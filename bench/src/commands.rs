//! What factstream does wherever commands are measured: orders created and shipped by callers side by side.

use crate::Failed;
use crate::figures::{Figures, Step, drive};
use crate::workload::{Ids, create, ship};
use factstream::App;
use orders::order::Order;

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
