//! P3: `order_projections` anew from a log of two events an order.

use super::support::{check_rows, connect, fill};
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use factstream::App;
use orders::order::Order;
use orders::projection::OrderProjection;
use std::time::Instant;

async fn app(place: &Place) -> Result<App, Failed> {
    Ok(App::builder(&place.shared)
        .upcasters(orders::order::upcasters())
        .aggregate::<Order>()
        .read_model::<OrderProjection>()
        .open()
        .await?)
}

/// A store with a log.
pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let began = Instant::now();
    drop(app(&place).await?);
    fill(&place.shared, place.size).await?;
    Ok(Figures::rate(place.size * 2, began))
}

pub(crate) async fn rebuild(place: Place) -> Result<Figures, Failed> {
    let app = app(&place).await?;
    let began = Instant::now();
    let done = app.rebuild("order_projections", |_| {}).await?;
    let figures = Figures::rate(done.position, began);
    check_rows(&connect(&place.shared).await?, "order_projections", place.size).await?;
    Ok(figures)
}
