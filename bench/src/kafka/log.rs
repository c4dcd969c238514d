//! A log in PostgreSQL that is there before the clock starts.

use crate::Failed;
use crate::postgres;
use factstream::App;
use orders::order::Order;

/// The application of the contests: it has nothing but orders.
pub(crate) async fn app(store: &str, kafka: &str) -> Result<App, Failed> {
    Ok(App::builder(store)
        .broker(kafka)
        .upcasters(orders::order::upcasters())
        .aggregate::<Order>()
        .open()
        .await?)
}

/// Fills an empty database with the events of so many orders.
pub(crate) async fn fill(store: &str, kafka: &str, orders: u64) -> Result<(), Failed> {
    drop(app(store, kafka).await?);
    postgres::fill(store, orders).await
}
