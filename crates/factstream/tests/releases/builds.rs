//! Releases of one small application, and what they leave in the store.

use crate::common::{OrderEvent, Shop, eventually};
use factstream::{
    App, Builder, Envelope, Event, Failure, Fold, Handler, Projector, ReadModel, Rows, Tx, params,
};
use serde::{Deserialize, Serialize};

/// The read model of the first release.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub(crate) struct V1 {
    #[column(key)]
    pub(crate) order_id: String,
    pub(crate) amount: i64,
}

impl Fold for V1 {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match &event.event {
            OrderEvent::Created { amount, .. } => {
                Some(Self { order_id: event.aggregate_id.clone(), amount: *amount })
            }
            _ => row,
        }
    }
}

/// A column more, which may not be NULL.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub(crate) struct V2 {
    #[column(key)]
    pub(crate) order_id: String,
    pub(crate) amount: i64,
    pub(crate) customer: String,
}

impl Fold for V2 {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match &event.event {
            OrderEvent::Created { amount, customer_id } => Some(Self {
                order_id: event.aggregate_id.clone(),
                amount: *amount,
                customer: customer_id.clone(),
            }),
            _ => row,
        }
    }
}

/// A column more, which may be NULL.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub(crate) struct V2Null {
    #[column(key)]
    pub(crate) order_id: String,
    pub(crate) amount: i64,
    pub(crate) customer: Option<String>,
}

impl Fold for V2Null {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        V2::fold(row.map(V2::from), event).map(Self::from)
    }
}

impl From<V2Null> for V2 {
    fn from(row: V2Null) -> Self {
        Self { order_id: row.order_id, amount: row.amount, customer: row.customer.unwrap_or_default() }
    }
}

impl From<V2> for V2Null {
    fn from(row: V2) -> Self {
        Self { order_id: row.order_id, amount: row.amount, customer: Some(row.customer) }
    }
}

/// The same columns as in the first release, other logic.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub(crate) struct Doubled {
    #[column(key)]
    pub(crate) order_id: String,
    pub(crate) amount: i64,
}

impl Fold for Doubled {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let row = V1::fold(row.map(|row| V1 { order_id: row.order_id, amount: row.amount / 2 }), event)?;
        Some(Self { order_id: row.order_id, amount: row.amount * 2 })
    }

    fn version() -> u32 {
        2
    }
}

/// What an earlier release knows of orders.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(topic = "orders.events")]
pub(crate) enum Opened {
    #[event(name = "OrderCreated")]
    Created {},
}

/// The read model of a release that knows one type of event.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub(crate) struct OneType {
    #[column(key)]
    pub(crate) order_id: String,
    pub(crate) events: i64,
}

impl Fold for OneType {
    type Events = Opened;

    fn fold(row: Option<Self>, event: &Envelope<Opened>) -> Option<Self> {
        let events = row.map_or(0, |row| row.events) + 1;
        Some(Self { order_id: event.aggregate_id.clone(), events })
    }
}

/// The same columns and logic, of more types.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub(crate) struct MoreTypes {
    #[column(key)]
    pub(crate) order_id: String,
    pub(crate) events: i64,
}

impl Fold for MoreTypes {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let events = row.map_or(0, |row| row.events) + 1;
        Some(Self { order_id: event.aggregate_id.clone(), events })
    }
}

/// Writes down each event that it is given, in the transaction.
pub(crate) struct Effects(pub(crate) &'static str);

impl Handler for Effects {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        write_effect(self.0, event, tx).await
    }
}

impl Projector for Effects {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
        write_effect(self.0, event, rows).await
    }
}

pub(crate) async fn write_effect<E>(who: &str, event: &Envelope<E>, tx: &mut Rows) -> Result<(), Failure> {
    let sql = "INSERT INTO effects (who, event_id, event_type) VALUES ($1, $2, $3)";
    tx.sql(sql, params![who, &event.event_id, &event.event_type]).await?;
    Ok(())
}

/// The table that [`Effects`] writes to.
pub(crate) async fn make_effects(shop: &Shop) {
    let app = shop.open().await;
    let mut tx = app.begin().await.unwrap();
    let sql = "CREATE TABLE effects (who TEXT NOT NULL, event_id TEXT NOT NULL, event_type TEXT NOT NULL)";
    tx.sql(sql, params![]).await.unwrap();
    tx.commit().await.unwrap();
}

/// How many effects there are, and of how many events.
pub(crate) async fn effects(app: &App, who: &str) -> (u64, u64) {
    let sql = "SELECT count(*) AS effects, count(DISTINCT event_id) AS events FROM effects WHERE who = $1";
    let rows = app.store().query(sql, params![who]).await.unwrap();
    (rows[0].get("effects").unwrap(), rows[0].get("events").unwrap())
}

/// One number that a query gives.
pub(crate) async fn number(app: &App, sql: &str) -> u64 {
    app.store().query(sql, params![]).await.unwrap()[0].at(0).unwrap()
}

pub(crate) async fn execute(app: &App, sql: &str) {
    let mut tx = app.begin().await.unwrap();
    tx.sql(sql, params![]).await.unwrap();
    tx.commit().await.unwrap();
}

/// The application with a read model of some release.
pub(crate) fn with<R: Fold>(shop: &Shop) -> Builder {
    shop.builder().read_model::<R>()
}

/// Waits until what is in the log is in the rows of the release that runs.
pub(crate) async fn caught_up(app: &App, handler: &str) {
    let head = app.head().await.unwrap();
    eventually("the handler has come to the head", || async {
        let sql = "SELECT coalesce(min(c.position), 0) AS at FROM fs_handlers h JOIN fs_checkpoints c \
                   ON c.handler = h.handler AND c.generation = h.generation WHERE h.handler = $1";
        let rows = app.store().query(sql, params![handler]).await.unwrap();
        rows[0].get::<u64>("at").unwrap() >= head
    })
    .await;
}
