//! The HTTP API: JSON in, JSON out, errors as problem documents (RFC 9457). Where a request enters.
//!
//! Invariants: connections are taken up to a number (`connections`), a body is read into memory up to a limit and no
//! further (`body`); a command is executed whole or not at
//! all, also when its client goes away; every answer that is not a success is a [`Problem`].

mod body;
mod connections;
mod inventory;
mod orders;
mod processes;
mod refusals;
mod strict;

use crate::app::Service;
use crate::phase::Phase;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use factstream::App;
use factstream_axum::{Problem, carry_context, probes, status};
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

pub use connections::serve;
#[doc(hidden)] // for the checks on bad input
pub use orders::{read_order, read_page};

/// Requests that are worked on at the same time; more wait their turn.
const REQUESTS_MAX: usize = 1_024;

/// Within how many seconds an order is due that is placed here.
#[derive(Clone, Copy)]
struct DueWithin(u32);

/// The API over an application: that of the services which run here.
pub fn router(app: App, service: Option<Service>, due_within: u32, phase: watch::Receiver<Phase>) -> Router {
    let turns = Arc::new(Semaphore::new(REQUESTS_MAX));
    let in_turn = middleware::from_fn_with_state(turns, in_turn);
    let runs = |wanted| service.is_none_or(|only| only == wanted);
    let mut known = Vec::new();
    let mut router = Router::new();
    if runs(Service::Order) {
        known.extend(["/orders", "/orders/{id}", "/orders/{id}/ship", "/orders/{id}/events"]);
        known.extend(["/orders/{id}/at/{version}", "/orders/{id}/process", "/timers", "/reports/{day}"]);
        router = router
            .route("/orders", post(orders::create).get(orders::list))
            .route("/orders/{id}", get(orders::get))
            .route("/orders/{id}/ship", post(orders::ship))
            .route("/orders/{id}/events", get(orders::events))
            .route("/orders/{id}/at/{version}", get(orders::at))
            .route("/orders/{id}/process", get(processes::of_order))
            .route("/timers", get(processes::timers))
            .route("/reports/{day}", get(processes::report))
            .layer(Extension(DueWithin(due_within)));
    }
    if runs(Service::Inventory) {
        known.extend(["/inventory", "/inventory/{sku}"]);
        router =
            router.route("/inventory", post(inventory::add)).route("/inventory/{sku}", get(inventory::get));
    }
    known.extend(["/status", "/livez"]);
    let known = format!("{} and /readyz", known.join(", "));
    router
        .merge(status(&app))
        .route_layer(in_turn)
        .merge(probes(&app, move || *phase.borrow() == Phase::Serving))
        .method_not_allowed_fallback(wrong_method)
        .fallback(move |uri: Uri| async move {
            Problem::not_found(format!("there is no {}; there are {known}", uri.path()))
        })
        .layer(middleware::from_fn(carry_context))
        .with_state(app)
}

async fn in_turn(State(turns): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let _turn = turns.acquire().await; // an error means that it is closed, which nobody does
    next.run(request).await
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not know {method}; the Allow header says what it knows", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
