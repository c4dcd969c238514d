//! A whole application in a test: a real store, every handler, and a clock that only the test moves.

use super::clocked_store::Clocked;
use super::folder::Folder;
use crate::app::App;
use crate::builder::Builder;
use crate::kernel::TestClock;
use crate::kernel::names::RELAY;
use crate::ops::dead_letters::Summary;
use crate::processor::unit;
use crate::runtime::Running;
use factstream_core::aggregate::Aggregate;
use factstream_core::envelope::{Position, Version};
use factstream_core::event::EventSet;
use factstream_core::params;
use factstream_core::sql::{FromValue, Row};
use factstream_core::store::Store;
use factstream_sqlite::SqliteStore;
use jiff::Timestamp;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long everything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether all has settled.
const LOOK: Duration = Duration::from_millis(2);
/// Events of one stream that are read.
const EVENTS_MAX: usize = 100_000;

/// An application that runs on a SQLite file of its own, in a temporary folder, with the broker in the store. It is an [`App`], too:
/// commands and queries are those of the application.
///
/// Its clock stands still: it dates events, plans retries, and says what retention deletes. [`TestApp::advance`] moves it.
///
/// ```
/// # use factstream::{App, Consumer, Envelope, Event, Failure, Handler, Tx};
/// use factstream::testing::TestApp;
/// # use std::time::Duration;
/// # #[derive(Event, serde::Serialize, serde::Deserialize)]
/// # #[event(topic = "orders.events")]
/// # enum OrderEvent { OrderCreated {} }
/// # #[derive(Default, Clone)]
/// # struct Order;
/// # impl factstream::Aggregate for Order {
/// #     const TYPE: &'static str = "order";
/// #     type Event = OrderEvent;
/// #     fn apply(&mut self, _: &OrderEvent) {}
/// # }
/// # struct Paying(std::sync::atomic::AtomicU32);
/// # impl Handler for Paying {
/// #     type Events = OrderEvent;
/// #     async fn handle(&self, _: &Envelope<OrderEvent>, _: &mut Tx) -> Result<(), Failure> {
/// #         match self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
/// #             0 => Err("the bank is closed".into()),
/// #             _ => Ok(()),
/// #         }
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let paying = Paying(0.into());
/// // The builder as in production; its store is replaced by the test's.
/// let builder = App::builder("sqlite://orders.db").consumer(Consumer::new("payments").handler(paying));
/// let app = TestApp::start(builder).await;
///
/// app.record::<Order>("o-1", [OrderEvent::OrderCreated {}]).await;
/// app.settle().await; // the first attempt fails, and the next one is planned
/// assert_eq!(app.letters("retrying").await.len(), 1);
///
/// app.advance(Duration::from_secs(60)).await; // it is due, and succeeds
/// assert!(app.letters("retrying").await.is_empty());
/// # app.stop().await;
/// # }
/// ```
#[derive(Debug)]
pub struct TestApp {
    app: App,
    place: Place,
    running: Option<Running>,
    /// Whether events may go to topics that nothing here declares: of one handler alone that is no fault.
    topics_may_miss: bool,
}

/// Where it is kept, and what time it is there.
#[derive(Debug)]
struct Place {
    folder: Folder,
    clock: TestClock,
}

impl Deref for TestApp {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl TestApp {
    /// Opens the application on a new store and starts it. The store and the broker that the builder names are not used.
    ///
    /// # Panics
    /// When it cannot be opened or started: its parts do not fit together, for example.
    pub async fn start(builder: Builder) -> Self {
        let folder =
            Folder::make().unwrap_or_else(|error| panic!("a temporary folder cannot be made: {error}"));
        Box::pin(Self::start_in(Place { folder, clock: TestClock::at(Timestamp::now()) }, builder)).await
    }

    /// As [`TestApp::start`], for a part of an application.
    pub(super) async fn start_part(builder: Builder) -> Self {
        Self { topics_may_miss: true, ..Self::start(builder).await }
    }

    async fn start_in(place: Place, builder: Builder) -> Self {
        let opened = SqliteStore::open(place.folder.path().join("store.db")).await;
        let store = opened.unwrap_or_else(|error| panic!("the store cannot be opened: {error}"));
        let store: Arc<dyn Store> = Arc::new(Clocked { store: Arc::new(store), clock: place.clock.clone() });
        let opened = builder.on(store).by_hand(place.clock.clone()).open().await;
        let app = opened.unwrap_or_else(|error| panic!("the application cannot be opened: {error}"));
        let running =
            app.start().await.unwrap_or_else(|error| panic!("the application cannot be started: {error}"));
        Self { app, place, running: Some(running), topics_may_miss: false }
    }

    /// Stops it and opens another one, or the same again, on its store and its clock: a new release, for example.
    ///
    /// # Panics
    /// As [`TestApp::start`] and [`TestApp::stop`].
    pub async fn restart(mut self, builder: Builder) -> Self {
        self.stop_running().await;
        let Self { place, .. } = self;
        Box::pin(Self::start_in(place, builder)).await
    }

    /// Stops it.
    ///
    /// # Panics
    /// When a handler does not end within the time that a test has.
    pub async fn stop(mut self) {
        self.stop_running().await;
    }

    async fn stop_running(&mut self) {
        if let Some(running) = self.running.take() {
            assert!(running.stop(PATIENCE).await, "a handler did not end within {PATIENCE:?}");
        }
    }

    /// Its clock.
    pub fn test_clock(&self) -> &TestClock {
        &self.place.clock
    }

    /// Records events of an aggregate as they are, without a command, and gives the position of the last: what has happened before.
    ///
    /// # Panics
    /// When they cannot be recorded.
    pub async fn record<A: Aggregate>(
        &self,
        id: &str,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Position {
        let events: Vec<A::Event> = events.into_iter().collect();
        let recorded = async {
            let mut tx = self.app.begin().await?;
            tx.append::<A>(id, &events).await?;
            tx.commit().await?;
            self.app.head().await
        };
        recorded.await.unwrap_or_else(|error| panic!("events of {id} cannot be recorded: {error}"))
    }

    /// The events of an aggregate.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn events<A: Aggregate>(&self, id: &str) -> Vec<A::Event> {
        self.events_after::<A>(id, 0).await
    }

    /// The events of an aggregate after a version.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn events_after<A: Aggregate>(&self, id: &str, after: Version) -> Vec<A::Event> {
        let recorded = self.app.events::<A>(id, after, EVENTS_MAX).await;
        let recorded = recorded.unwrap_or_else(|error| panic!("the events of {id} cannot be read: {error}"));
        let decode = |event: factstream_core::envelope::RecordedEvent| {
            let decoded = A::Event::decode(&event.event_type, &event.data);
            decoded.unwrap_or_else(|| panic!("{} is no event of {}", event.event_type, A::TYPE))
        };
        let decoded: Result<Vec<_>, _> = recorded.into_iter().map(decode).collect();
        decoded.unwrap_or_else(|error| panic!("an event of {id} cannot be decoded: {error}"))
    }

    /// Events that could not be handled and are now in this state: `dead`, `retrying`, `parked`, `handled` or `discarded`.
    ///
    /// # Panics
    /// When the store cannot be read.
    pub async fn letters(&self, state: &str) -> Vec<Summary> {
        let sql = "SELECT id FROM fs_dead_letters WHERE state = $1 ORDER BY id";
        let mut letters = Vec::new();
        for row in self.rows(sql, params![state]).await {
            let id = column(&row, "id");
            let shown = self.app.dead_letters().show(id).await;
            letters.push(shown.unwrap_or_else(|error| panic!("{error}")).summary);
        }
        letters
    }

    /// The rows that a query gives.
    ///
    /// # Panics
    /// When the database refuses it.
    pub async fn rows(&self, sql: &str, params: Vec<factstream_core::sql::Value>) -> Vec<Row> {
        let rows = self.app.store().query(sql, params).await;
        rows.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until everything is handled that can be handled at the time of the clock. What waits for a later attempt is left.
    ///
    /// # Panics
    /// When it does not come about in 30 seconds; the message says what is still under way.
    pub async fn settle(&self) {
        let until = Instant::now() + PATIENCE;
        let mut settled_at = None;
        loop {
            let under_way = self.under_way().await;
            let head = self.head_now().await;
            if under_way.is_empty() && settled_at == Some(head) {
                return; // nothing was appended since it was so the last time
            }
            settled_at = under_way.is_empty().then_some(head);
            assert!(
                Instant::now() < until,
                "it has not settled within {PATIENCE:?}: {}",
                under_way.join("; ")
            );
            if settled_at.is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    pub(super) async fn head_now(&self) -> Position {
        self.app.head().await.unwrap_or_else(|error| panic!("the store cannot be read: {error}"))
    }

    /// What is still to be handled now, in words.
    async fn under_way(&self) -> Vec<String> {
        let status = self.app.status().await;
        let lags = status.handlers.iter().map(|handler| (handler.name.as_str(), handler.lag_events));
        let behind = lags.chain([("the relay", status.relay.lag_events)]).filter(|(_, lag)| *lag != Some(0));
        let mut under_way: Vec<String> = behind
            .map(|(name, lag)| match lag {
                Some(events) => format!("{name} is {events} events behind"),
                None => format!("it is not known how far {name} is"),
            })
            .collect();
        let sql = "SELECT b.handler, b.event_key, l.topic FROM fs_blocked_keys b JOIN fs_dead_letters l ON l.id = b.head_id \
                   WHERE b.next_attempt_at <= $1 AND b.handler <> $2";
        for row in self.rows(sql, params![self.place.clock.now(), RELAY]).await {
            let (handler, unit): (String, String) = (column(&row, "handler"), column(&row, "event_key"));
            let topic: String = column(&row, "topic");
            under_way.push(format!("{handler} is to try {} again", unit::shown(&unit, &topic)));
        }
        let sql = "SELECT DISTINCT handler FROM fs_timers WHERE wakes_at <= $1";
        for row in self.rows(sql, params![self.place.clock.now()]).await {
            let handler: String = column(&row, "handler");
            if self.app.build_of(&handler).is_some() {
                under_way.push(format!("{handler} is to be given timers that are due"));
            }
        }
        if !self.topics_may_miss {
            self.refuse_missing_topics().await;
        }
        under_way
    }

    /// Panics where the relay waits for a topic: nothing would make it here.
    async fn refuse_missing_topics(&self) {
        let sql = "SELECT l.event_type, l.reason FROM fs_blocked_keys b JOIN fs_dead_letters l ON l.id = b.head_id \
                   WHERE b.handler = $1 AND b.next_attempt_at IS NOT NULL LIMIT 1";
        if let Some(row) = self.rows(sql, params![RELAY]).await.first() {
            let (event, reason): (String, String) = (column(row, "event_type"), column(row, "reason"));
            panic!(
                "{event} cannot be published: {reason}. Builder::aggregate declares the topics of an aggregate's events"
            );
        }
    }

    /// [Settles](Self::settle), so that what has happened did so before, moves the clock on, settles again, and deletes what is then no longer
    /// needed.
    ///
    /// # Panics
    /// As [`TestApp::settle`].
    pub async fn advance(&self, by: Duration) {
        self.settle().await;
        self.place.clock.advance(by);
        self.settle().await;
        self.app.tidy().await.unwrap_or_else(|error| panic!("retention failed: {error}"));
    }

    /// Moves the clock on from one planned attempt to the next until none is left: what fails again and again is then a dead letter.
    ///
    /// # Panics
    /// As [`TestApp::settle`].
    pub async fn exhaust_retries(&self) {
        loop {
            self.settle().await;
            let sql = "SELECT min(next_attempt_at) AS at FROM fs_blocked_keys WHERE handler <> $1";
            let next = self.rows(sql, params![RELAY]).await;
            let Some(at) = next.first().and_then(|row| column::<Option<Timestamp>>(row, "at")) else {
                return;
            };
            // What is planned between two microseconds is due at the second.
            self.place.clock.set(at.max(self.place.clock.now()));
            self.place.clock.advance(Duration::from_micros(1));
        }
    }
}

/// A column of a row that is surely there.
fn column<T: FromValue>(row: &Row, name: &str) -> T {
    row.get(name).unwrap_or_else(|error| panic!("{error}"))
}
