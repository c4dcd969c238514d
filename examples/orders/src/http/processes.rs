//! What waits and what was decided: the process of an order, the timers of the store, the nightly reports.

use super::body::path_id;
use super::orders::unknown;
use crate::fulfilment::{self, Fulfilment};
use crate::report::Report;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use factstream::process::{Instance, Step};
use factstream::{App, TIMERS_LIST_MAX, Timer};
use factstream_axum::Problem;
use serde::Serialize;

/// The most steps of one history: an order has few more than it has items.
const STEPS_MAX: usize = 1_000;

/// `GET /orders/{id}/process`
#[derive(Serialize)]
pub(super) struct OfOrder {
    #[serde(flatten)]
    instance: Instance<Fulfilment>,
    history: Vec<Step>,
    timers: Vec<Timer>,
}

pub(super) async fn of_order(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<OfOrder>, Problem> {
    let id = path_id("order id", path)?;
    let process = app.process::<Fulfilment>();
    let Some(instance) = process.get(&id).await? else {
        return Err(match app.load::<crate::order::Order>(&id).await? {
            (_, 0) => unknown(&id),
            _ => Problem::not_found(format!(
                "the process of order {id:?} has not begun yet, or has ended so long ago that it is forgotten"
            )),
        });
    };
    let history = process.history(&id, 0, STEPS_MAX).await?;
    let timers = app.timers().of(fulfilment::NAME, &id).list().await?;
    Ok(axum::Json(OfOrder { instance, history, timers }))
}

/// `GET /timers`
#[derive(Serialize)]
pub(super) struct Timers {
    timers: Vec<Timer>,
    /// Whether there are more than these.
    more: bool,
}

pub(super) async fn timers(State(app): State<App>) -> Result<axum::Json<Timers>, Problem> {
    let timers = app.timers().list(None).await?;
    let more = timers.len() >= TIMERS_LIST_MAX;
    Ok(axum::Json(Timers { timers, more }))
}

/// `GET /reports/{day}`
pub(super) async fn report(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<Report>, Problem> {
    let day = path_id("day", path)?;
    match app.load::<Report>(&day).await? {
        (_, 0) => Err(Problem::not_found(format!(
            "there is no report of {day:?}; write a day, for example 2026-11-30"
        ))),
        (report, _) => Ok(axum::Json(report)),
    }
}
