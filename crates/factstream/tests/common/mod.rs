//! A small shop to test with: orders on a real store.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use factstream::event::EventSet;
use factstream::read_model::RowKey;
use factstream::{Aggregate, App, Builder, Command, Envelope, Event, Fold, ReadModel, Retry, Running};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(topic = "orders.events")]
pub enum OrderEvent {
    #[event(name = "OrderCreated")]
    Created { customer_id: String, amount: i64 },
    #[event(name = "OrderNoted")]
    Noted { text: String },
    #[event(name = "OrderClosed")]
    Closed,
}

#[derive(Default, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    pub created: bool,
    pub closed: bool,
    pub notes: Vec<String>,
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Created { .. } => self.created = true,
            OrderEvent::Noted { text } => self.notes.push(text.clone()),
            OrderEvent::Closed => self.closed = true,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Do {
    Create(i64),
    Note(String),
    Close,
    Nothing,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

impl Command<Order> for Do {
    type Error = Refused;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, Refused> {
        match self {
            Do::Create(_) if order.created => Err(Refused("Order already created")),
            Do::Create(amount) => {
                Ok(vec![OrderEvent::Created { customer_id: "c-1".into(), amount: *amount }])
            }
            Do::Note(_) | Do::Close if order.closed => Err(Refused("Order is closed")),
            Do::Note(text) => Ok(vec![OrderEvent::Noted { text: text.clone() }]),
            Do::Close => Ok(vec![OrderEvent::Closed]),
            Do::Nothing => Ok(vec![]),
        }
    }
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
pub struct OrderRow {
    #[column(key)]
    pub order_id: String,
    pub amount: i64,
    #[column(index)]
    pub status: String,
    #[column(json)]
    pub notes: Vec<String>,
}

impl Fold for OrderRow {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match &event.event {
            OrderEvent::Created { amount, .. } => Some(Self {
                order_id: event.aggregate_id.clone(),
                amount: *amount,
                status: "OPEN".into(),
                notes: vec![],
            }),
            OrderEvent::Noted { text } if text == "fold panics" => panic!("told to"),
            OrderEvent::Noted { text } => row.map(|mut row| {
                row.notes.push(text.clone());
                row
            }),
            OrderEvent::Closed => row.map(|row| Self { status: "CLOSED".into(), ..row }),
        }
    }
}

/// A store of its own for a test: a SQLite file, or with `FACTSTREAM_TEST_STORE=postgres` a database on a real server. Its topics are
/// embedded, or with `FACTSTREAM_TEST_BROKER=kafka` in a namespace of its own on a real Kafka.
pub struct Shop {
    pub dir: TempDir,
    url: String,
    namespace: String,
}

impl Shop {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = match std::env::var("FACTSTREAM_TEST_STORE").as_deref() {
            Ok("postgres") => factstream_tests::postgres::server().database(),
            _ => format!("sqlite://{}", dir.path().join("shop.db").display()),
        };
        Self { dir, url, namespace: namespace() }
    }

    /// One whose store is said: for what one engine has alone.
    pub fn at(url: String) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), url, namespace: namespace() }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn builder(&self) -> Builder {
        self.bare().service("shop").aggregate::<Order>()
    }

    /// Of a service that has no aggregate.
    pub fn bare(&self) -> Builder {
        let builder = App::builder(self.url());
        match std::env::var("FACTSTREAM_TEST_BROKER").as_deref() {
            Ok("kafka") => {
                builder.broker(factstream_tests::kafka::server()).namespace(self.namespace.clone())
            }
            _ => builder,
        }
    }

    pub async fn open(&self) -> App {
        self.builder().open().await.unwrap()
    }
}

fn namespace() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    format!("shop{}.", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Makes these orders, each with a note, every other one closed; the position of the last event.
pub async fn fill(app: &App, orders: Range<usize>) -> u64 {
    for n in orders {
        let id = format!("o-{n:03}");
        app.execute(&id, Do::Create(n as i64)).await.unwrap();
        app.execute(&id, Do::Note("hello".into())).await.unwrap();
        if n % 2 == 0 {
            app.execute(&id, Do::Close).await.unwrap();
        }
    }
    app.head().await.unwrap()
}

/// The rows that a fold over the log gives.
pub async fn folded<R: Fold>(app: &App) -> BTreeMap<String, R> {
    let mut rows = BTreeMap::new();
    for event in app.read_log(0, 100_000).await.unwrap() {
        let Some(decoded) = R::Events::decode(&event.event_type, &event.data) else { continue };
        let decoded = decoded.unwrap();
        let row = R::fold(rows.remove(&event.aggregate_id), &event.envelope().unwrap().with(decoded));
        rows.extend(row.map(|row| (event.aggregate_id, row)));
    }
    rows
}

/// The rows of a read model's table, as far as the log goes now.
pub async fn stored<R: Fold>(app: &App) -> BTreeMap<String, R> {
    let position = app.head().await.unwrap();
    let page = app.read::<R>().wait_for(position).limit(1_000).list().await.unwrap();
    let key = |row: &R| match row.key().unwrap() {
        RowKey::Text(key) => key,
        other => panic!("{other:?} is not an order's id"),
    };
    page.rows.into_iter().map(|row| (key(&row), row)).collect()
}

/// Retries that do not make a test slow.
pub fn quick(max_attempts: u32) -> Retry {
    let millis = Duration::from_millis;
    Retry { max_attempts, initial: millis(5), factor: 2.0, max_delay: millis(50), jitter: 0.1 }
}

/// Waits until the condition holds, at most a minute: the machine may have other work.
pub async fn eventually<F, R>(what: &str, mut condition: F)
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "this did not come about: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until every handler has come to the end, nothing waits for a retry, and the relay has published everything.
pub async fn settled(app: &App) {
    // Twice with the log standing still: a status is not taken at one instant.
    eventually("everything settles", || async {
        let (one, other) = (app.status().await, app.status().await);
        one.unsettled().is_empty() && other.unsettled().is_empty() && one.position == other.position
    })
    .await;
}

pub async fn stop(running: Running) {
    assert!(running.stop(Duration::from_secs(10)).await, "all tasks end within the deadline");
}
