//! `/status`, `/livez`, `/readyz`: what is going on, for people and for whoever watches the process.

use super::problem::Problem;
use crate::phase::Phase;
use axum::Json;
use axum::extract::State;
use factstream::App;
use factstream::status::Status;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the store may take until a process counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(1);

pub(super) async fn status(State(app): State<App>) -> Json<Status> {
    Json(app.status().await)
}

/// The process runs and answers.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Requests can be served, and may be for a while: the store answers, and the process is not about to stop.
pub(super) async fn readyz(State(app): State<App>, phase: Phase) -> Result<Json<Value>, Problem> {
    if phase != Phase::Serving {
        return Err(Problem::unavailable("the process is stopping; send requests to another"));
    }
    match tokio::time::timeout(READY_WITHIN, app.head()).await {
        Ok(Ok(position)) => Ok(Json(json!({ "status": "ready", "position": position }))),
        Ok(Err(error)) => Err(Problem::unavailable(format!("the store does not answer: {error}"))),
        Err(_) => Err(Problem::unavailable(format!("the store does not answer within {READY_WITHIN:?}"))),
    }
}
