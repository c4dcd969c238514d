//! `/inventory`: puts goods into the stock, and tells what is there.

use super::body::{Json, checked_id, path_id};
use super::strict::whole_number;
use crate::inventory::{AddStock, Stock};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use factstream::{App, Position, Version};
use factstream_axum::{CommandHeaders, ETag, Problem};
use serde::{Deserialize, Serialize};

/// `POST /inventory`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Goods {
    sku: String,
    #[serde(deserialize_with = "whole_number")]
    quantity: u32,
}

#[derive(Serialize)]
pub(super) struct Stocked {
    sku: String,
    version: Version,
    position: Position,
}

pub(super) async fn add(
    State(app): State<App>,
    headers: CommandHeaders,
    Json(Goods { sku, quantity }): Json<Goods>,
) -> Result<impl IntoResponse, Problem> {
    checked_id("SKU", &sku)?;
    let add = app.execute(&sku, AddStock { sku: sku.clone(), quantity });
    let done = headers.apply(add).await?;
    Ok((ETag(done.version), axum::Json(Stocked { sku, version: done.version, position: done.position })))
}

#[derive(Serialize)]
pub(super) struct Level {
    sku: String,
    available: u64,
    version: Version,
}

pub(super) async fn get(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<impl IntoResponse, Problem> {
    let sku = path_id("SKU", path)?;
    match app.load::<Stock>(&sku).await? {
        (Stock { known: true, available }, version) => {
            Ok((ETag(version), axum::Json(Level { sku, available, version })))
        }
        _ => {
            Err(Problem::not_found(format!("nothing was ever stocked as {sku:?}; POST /inventory stocks it")))
        }
    }
}
