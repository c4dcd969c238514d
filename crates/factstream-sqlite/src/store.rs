//! The store: the port's verbs, each handed to the writer or to a reader.

use crate::append;
use crate::desk::Desk;
use crate::error;
use crate::news::News;
use crate::open;
use crate::options::Options;
use crate::place::Place;
use crate::query::query;
use crate::queue::{self, Request};
use crate::readers::Readers;
use crate::rows;
use crate::transaction::SqliteTransaction;
use crate::url;
use crate::watchdog::Watchdog;
use crate::writer::{Log, PendingAppend, Writer};
use async_trait::async_trait;
use factstream_core::envelope::{Position, RecordedEvent, StreamId, Version};
use factstream_core::recordable;
use factstream_core::sql::{Params, Row, now};
use factstream_core::store::{Append, CommandKey, Outcome, Store, StoreError, Transaction};
use jiff::Timestamp;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

const SELECT_STREAM: &str = include_str!("../sql/select_stream.sql");
const SELECT_LOG: &str = include_str!("../sql/select_log.sql");
/// What a look at the head is known as.
const LOOK: &str = "head";
/// Waits are shorter than this, so that a deadline can always be told.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// An event store on one SQLite file. Cheap to clone; the file is closed when the last clone is gone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("orders.db");
/// use factstream_core::store::Store;
/// use factstream_sqlite::SqliteStore;
///
/// let store = SqliteStore::open(&path).await?;
/// assert!(store.read_log(0, 10).await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

struct Inner {
    /// The writer ends when this is gone and everything that was accepted is answered.
    requests: mpsc::Sender<Request>,
    log: Arc<Log>,
    readers: Readers,
    poll_interval: Duration,
    event_bytes_max: usize,
}

impl SqliteStore {
    /// Opens the store in this file, and makes it if the file is new or empty.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the file is not a store, is damaged or cannot be written, and
    /// [`StoreError::Newer`] when a newer factstream wrote it. The file is then as it was.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, Options::default()).await
    }

    /// Opens the store that a URL names: `sqlite://orders.db`.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and [`StoreError::Url`].
    pub async fn open_url(url: &str) -> Result<Self, StoreError> {
        Self::open_url_with(url, Options::default()).await
    }

    /// As [`SqliteStore::open_url`], with limits of your own.
    ///
    /// # Errors
    /// As [`SqliteStore::open_url`].
    pub async fn open_url_with(url: &str, options: Options) -> Result<Self, StoreError> {
        Self::open_with(url::path_of(url)?, options).await
    }

    /// As [`SqliteStore::open`], with limits of your own.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&path, options)).await;
        opened.unwrap_or_else(|error| {
            Err(StoreError::Engine(format!("the store could not be opened: {error}")))
        })
    }

    fn open_blocking(path: &Path, options: Options) -> Result<Self, StoreError> {
        let connection = open::writer(path, &options)?;
        let readers = Readers::open(path, &options)?;
        let head = append::head(&connection).map_err(|error| error::of_open(path, &error))?;
        let news = Arc::new(News::new(head));
        let (requests, queue) = mpsc::channel(options.queue_max.max(1));
        let (poll_interval, event_bytes_max) = (options.poll_interval, options.event_bytes_max);
        let thread =
            |error: std::io::Error| StoreError::Engine(format!("a thread cannot be started: {error}"));
        let watchdog = Watchdog::start(connection.get_interrupt_handle()).map_err(thread)?;
        let place = Place::of(path);
        let desk = Arc::new(Desk::new(connection));
        let log = Arc::new(Log { desk, news, place });
        let writer = Writer { log: Arc::clone(&log), watchdog, options };
        std::thread::Builder::new()
            .name("factstream-writer".into())
            .spawn(move || queue::run(writer, queue))
            .map_err(thread)?;
        Ok(Self { inner: Arc::new(Inner { requests, log, readers, poll_interval, event_bytes_max }) })
    }

    async fn send(&self, request: Request) -> Result<(), StoreError> {
        self.inner.requests.send(request).await.map_err(|_| StoreError::Closed)
    }

    /// The head as the file has it now.
    async fn look(&self) -> Result<Position, StoreError> {
        let head = self
            .inner
            .readers
            .read(LOOK, |connection| append::head(connection).map_err(|error| error::of_engine(&error)));
        let head = head.await?;
        self.inner.log.news.tell(head);
        Ok(head)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, append: Append, key: Option<CommandKey>) -> Result<Outcome, StoreError> {
        recordable::check([&append], self.inner.event_bytes_max)?;
        consume_budget().await;
        if let Some(outcome) = self.inner.log.append_here(&append, key.as_ref()) {
            return outcome;
        }
        let (reply, answer) = oneshot::channel();
        self.send(Request::Append(Box::new(PendingAppend { append, key, reply }))).await?;
        answer.await.map_or(Err(StoreError::Closed), |answer| answer.outcome)
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let (aggregate_type, id) = (stream.aggregate_type().to_owned(), stream.id().to_owned());
        let after = clamp(after);
        let read = move |connection: &rusqlite::Connection| -> rusqlite::Result<Vec<RecordedEvent>> {
            let mut select = connection.prepare_cached(SELECT_STREAM)?;
            rows::events(
                select.query(rusqlite::params![aggregate_type, id, after, clamp(limit as u64)])?,
                limit,
            )
        };
        self.inner
            .readers
            .read(SELECT_STREAM, move |connection| read(connection).map_err(|error| error::of_engine(&error)))
            .await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, StoreError> {
        let after = clamp(after);
        let read = move |connection: &rusqlite::Connection| -> rusqlite::Result<Vec<RecordedEvent>> {
            let mut select = connection.prepare_cached(SELECT_LOG)?;
            rows::events(select.query([after, clamp(limit as u64)])?, limit)
        };
        self.inner
            .readers
            .read(SELECT_LOG, move |connection| read(connection).map_err(|error| error::of_engine(&error)))
            .await
    }

    async fn query(&self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        let text = sql.to_owned();
        self.inner
            .readers
            .read(sql, move |connection| query(connection, &text, &params, error::of_reading))
            .await
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Begin(reply)).await?;
        let session = answer.await.unwrap_or(Err(StoreError::Closed))?;
        Ok(Box::new(SqliteTransaction::new(session, self.inner.event_bytes_max)))
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        Ok(now()) // processes on one file are on one machine
    }

    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError> {
        let deadline = Instant::now() + timeout.min(WAIT_MAX);
        let mut news = self.inner.log.news.follow();
        let mut head = *news.borrow_and_update();
        if timeout.is_zero() || head <= after {
            head = self.look().await?;
        }
        while head <= after && Instant::now() < deadline {
            let next_look = deadline.min(Instant::now() + self.inner.poll_interval);
            let told = tokio::time::timeout_at(next_look, news.changed()).await.is_ok();
            head = *news.borrow_and_update();
            if !told && self.inner.log.news.is_time_to_look(self.inner.poll_interval) {
                head = self.look().await?;
            }
        }
        Ok(head)
    }
}

/// A position or count as SQLite takes it.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
