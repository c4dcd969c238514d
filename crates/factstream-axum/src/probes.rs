//! Routes for people and machines that watch a process: `/livez`, `/readyz` and `/status`.

use crate::problem::Problem;
use axum::routing::get;
use axum::{Json, Router};
use factstream::App;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the store may take until a process counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// `/livez`, `/readyz` and `/status` of an application.
///
/// For a process that leaves in steps, or a `/status` behind other layers, see [`probes`] and [`status`].
///
/// ```
/// # async fn example(app: factstream::App) {
/// let router: axum::Router = axum::Router::new().merge(factstream_axum::watching(&app));
/// # }
/// ```
pub fn watching<S: Clone + Send + Sync + 'static>(app: &App) -> Router<S> {
    probes(app, || true).merge(status(app))
}

/// `/livez`: the process runs and answers. `/readyz`: requests can be served, and may be for a while: the store answers, and `is_serving`
/// says so; else 503. On SIGTERM let it say no, and serve on for a moment, so that whoever sends requests can go elsewhere.
///
/// ```
/// # use std::sync::Arc;
/// # use std::sync::atomic::{AtomicBool, Ordering};
/// # async fn example(app: factstream::App) {
/// let leaving = Arc::new(AtomicBool::new(false));
/// let is_serving = { let leaving = Arc::clone(&leaving); move || !leaving.load(Ordering::Relaxed) };
/// let router: axum::Router = factstream_axum::probes(&app, is_serving);
/// # }
/// ```
pub fn probes<S: Clone + Send + Sync + 'static>(
    app: &App,
    is_serving: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Router<S> {
    let app = app.clone();
    let ready = move || {
        let (app, is_serving) = (app.clone(), is_serving());
        async move { readyz(&app, is_serving).await }
    };
    Router::new().route("/livez", get(livez)).route("/readyz", get(ready))
}

/// `/status`: the state of the application as JSON ([`Status`](factstream::status::Status)): the log, the relay, every handler with its
/// lag and its dead letters, the owners.
///
/// ```
/// # async fn example(app: factstream::App) {
/// let router: axum::Router = factstream_axum::status(&app);
/// # }
/// ```
pub fn status<S: Clone + Send + Sync + 'static>(app: &App) -> Router<S> {
    let app = app.clone();
    Router::new().route("/status", get(move || async move { Json(app.status().await) }))
}

async fn livez() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

async fn readyz(app: &App, is_serving: bool) -> Result<Json<Value>, Problem> {
    if !is_serving {
        return Err(Problem::unavailable("the process is stopping; send requests to another"));
    }
    match tokio::time::timeout(READY_WITHIN, app.head()).await {
        Ok(Ok(position)) => Ok(Json(json!({ "status": "ready", "position": position }))),
        Ok(Err(error)) => Err(Problem::unavailable(format!("the store does not answer: {error}"))),
        Err(_) => Err(Problem::unavailable(format!("the store does not answer within {READY_WITHIN:?}"))),
    }
}
