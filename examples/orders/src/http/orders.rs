//! `/orders`: commands on orders, the read model, the audit trail and the past.

use super::DueWithin;
use super::body::{Json, checked_id, path_id, query};
use super::strict::{Object, whole_number};
use crate::fulfilment::DUE_SECONDS;
use crate::order::{CreateOrder, Item, Order, ShipOrder, Status};
use crate::projection::OrderProjection;
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use factstream::decode::ContentError;
use factstream::envelope::Metadata;
use factstream::{App, Position, RecordedEvent, Version};
use factstream_axum::{After, CommandHeaders, ETag, Problem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use uuid::Uuid;

/// How long `?after=` waits.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Orders on one page, unless said.
const PAGE: usize = 50;
/// The most orders on one page.
const PAGE_MAX: usize = 1_000;
/// The most events of one audit trail: an order has few more than it has items.
const TRAIL_MAX: usize = 1_000;

/// `POST /orders`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    customer_id: String,
    items: Vec<Object<NewItem>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewItem {
    sku: String,
    #[serde(deserialize_with = "whole_number")]
    quantity: u32,
    #[serde(deserialize_with = "whole_number")]
    price_cents: u64,
}

impl From<Object<NewItem>> for Item {
    fn from(Object(NewItem { sku, quantity, price_cents }): Object<NewItem>) -> Self {
        Self { sku, quantity, price_cents }
    }
}

/// The body of `POST /orders`, as JSON again.
///
/// # Errors
/// As the request is answered.
pub fn read_order(bytes: &[u8]) -> Result<String, Problem> {
    let order: Object<NewOrder> = super::body::parse(bytes)?;
    serde_json::to_string(&order).map_err(|error| Problem::bad_request(error.to_string()))
}

#[derive(Serialize)]
struct Created {
    order_id: String,
    version: Version,
    position: Position,
}

pub(super) async fn create(
    State(app): State<App>,
    Extension(DueWithin(due)): Extension<DueWithin>,
    headers: CommandHeaders,
    Json(request): Json<NewOrder>,
) -> Result<impl IntoResponse, Problem> {
    let items = request.items.into_iter().map(Item::from).collect();
    // The usual time is not said: it can be changed later, also for orders that were placed before.
    let due_seconds = Some(due).filter(|due| *due != DUE_SECONDS);
    let command = CreateOrder { customer_id: request.customer_id, items, due_seconds };
    let done = headers.apply(app.create(command)).await?;
    let (location, etag) = (format!("/orders/{}", done.aggregate_id), ETag(done.version));
    let created = Created { order_id: done.aggregate_id, version: done.version, position: done.position };
    Ok((StatusCode::CREATED, [(LOCATION, location)], etag, axum::Json(created)))
}

/// `POST /orders/{id}/ship`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shipment {
    tracking_number: String,
}

#[derive(Serialize)]
struct Changed {
    version: Version,
    position: Position,
}

pub(super) async fn ship(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    headers: CommandHeaders,
    Json(request): Json<Shipment>,
) -> Result<impl IntoResponse, Problem> {
    let id = path_id("order id", path)?;
    let ship = ShipOrder { tracking_number: request.tracking_number };
    let done = headers.apply(app.execute(id, ship)).await?;
    Ok((ETag(done.version), axum::Json(Changed { version: done.version, position: done.position })))
}

/// `GET /orders/{id}?after=`
pub(super) async fn get(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    after: Option<After>,
) -> Result<impl IntoResponse, Problem> {
    let id = path_id("order id", path)?;
    let mut read = app.read::<OrderProjection>().deadline(WAIT_MAX);
    if let Some(After(position)) = after {
        read = read.wait_for(position);
    }
    let row = read.get(&id).await?.ok_or_else(|| {
        Problem::not_found(format!(
            "there is no order {id:?}, or not yet: give ?after= the position that POST /orders answered, to wait for it"
        ))
    })?;
    Ok((ETag(row.version), axum::Json(row)))
}

/// `GET /orders?status=&limit=&cursor=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    status: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Orders {
    orders: Vec<OrderProjection>,
    next: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<axum::Json<Orders>, Problem> {
    let Listing { status, limit, cursor } = query(listing)?;
    let mut read = app.read::<OrderProjection>().limit(page_size(limit.as_deref())?);
    if let Some(status) = status {
        let status: Status =
            status.parse().map_err(|error| Problem::bad_request(format!("{error}, not {status:?}")))?;
        read = read.filter(|row| row.status.eq(status));
    }
    if let Some(cursor) = cursor {
        read = read.after(cursor);
    }
    let page = read.list().await?;
    Ok(axum::Json(Orders { orders: page.rows, next: page.next }))
}

/// The number of rows that `?limit=` asks for.
///
/// # Errors
/// As the request is answered.
pub fn read_page(limit: &str) -> Result<usize, Problem> {
    page_size(Some(limit))
}

fn page_size(limit: Option<&str>) -> Result<usize, Problem> {
    let Some(limit) = limit else { return Ok(PAGE) };
    match limit.parse() {
        Ok(size) if (1..=PAGE_MAX).contains(&size) => Ok(size),
        _ => Err(Problem::bad_request(format!(
            "the limit is a whole number from 1 to {PAGE_MAX}, not {limit:?}"
        ))),
    }
}

#[derive(Serialize)]
pub(super) struct Trail {
    order_id: String,
    events: Vec<TrailEvent>,
}

/// One event with all that is known of it, in the names of the message's headers.
#[derive(Serialize)]
struct TrailEvent {
    position: Position,
    aggregate_type: String,
    aggregate_id: String,
    aggregate_version: Version,
    event_id: Uuid,
    event_type: String,
    schema_version: u32,
    timestamp: Timestamp,
    #[serde(flatten)]
    metadata: Metadata,
    data: Box<RawValue>,
}

impl TrailEvent {
    fn of(event: RecordedEvent) -> Result<Self, serde_json::Error> {
        Ok(Self {
            metadata: serde_json::from_str(&event.metadata)?,
            data: RawValue::from_string(event.data)?,
            position: event.position,
            aggregate_type: event.aggregate_type,
            aggregate_id: event.aggregate_id,
            aggregate_version: event.version,
            event_id: event.event_id,
            event_type: event.event_type,
            schema_version: event.schema_version,
            timestamp: event.timestamp,
        })
    }
}

pub(super) async fn events(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<Trail>, Problem> {
    let order_id = path_id("order id", path)?;
    let events = app.events::<Order>(&order_id, 0, TRAIL_MAX).await?;
    if events.is_empty() {
        return Err(unknown(&order_id));
    }
    let events = events.into_iter().map(TrailEvent::of).collect::<Result<_, _>>();
    let events = events.map_err(|error| {
        let reason = ContentError::from(error);
        Problem::internal(format!(
            "a stored event of order {order_id:?} is not JSON: {reason}; is the store damaged?"
        ))
    })?;
    Ok(axum::Json(Trail { order_id, events }))
}

#[derive(Serialize)]
pub(super) struct Past {
    order_id: String,
    version: Version,
    state: Order,
}

pub(super) async fn at(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<axum::Json<Past>, Problem> {
    let Path((order_id, version)) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    checked_id("order id", &order_id)?;
    let version = match version.parse() {
        Ok(version) if version > 0 => version,
        _ => {
            return Err(Problem::bad_request(format!("a version is a whole number from 1, not {version:?}")));
        }
    };
    if let Some(state) = app.load_at::<Order>(&order_id, version).await? {
        return Ok(axum::Json(Past { order_id, version, state }));
    }
    match app.load::<Order>(&order_id).await? {
        (_, 0) => Err(unknown(&order_id)),
        (_, newest) => Err(Problem::not_found(format!(
            "order {order_id:?} has no version {version}; the newest is {newest}"
        ))),
    }
}

pub(super) fn unknown(order_id: &str) -> Problem {
    Problem::not_found(format!("there is no order {order_id:?}; POST /orders makes one"))
}
