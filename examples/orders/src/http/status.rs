//! `/status`, `/livez`, `/readyz`: what is going on, for people and for whoever watches the process.

use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use factstream::App;
use factstream::status::Status;
use serde_json::{Value, json};

pub(super) async fn status(State(app): State<App>) -> Json<Status> {
    Json(app.status().await)
}

/// The process runs and answers.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Requests can be served: the store answers.
pub(super) async fn readyz(State(app): State<App>) -> Result<Json<Value>, Problem> {
    match app.position().await {
        Ok(position) => Ok(Json(json!({ "status": "ready", "position": position }))),
        Err(error) => Err(Problem::unavailable(format!("the store does not answer: {error}"))),
    }
}
