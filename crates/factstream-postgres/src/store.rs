//! The store: the port's verbs, each handed to the writer, to a reader or to a transaction of its own.

use crate::announcements::Announcements;
use crate::connect::Server;
use crate::control::{leaves_traces, refuse_control};
use crate::error::{check_count, of_limited, of_reading, of_statement};
use crate::identity::Identity;
use crate::knowledge::Knowledge;
use crate::listener;
use crate::locking::Locking;
use crate::migrate::migrate;
use crate::options::Options;
use crate::pending::PendingAppend;
use crate::pool::{Lent, Pool};
use crate::pooler;
use crate::purpose::Purpose;
use crate::rows;
use crate::session::Session;
use crate::shared::Shared;
use crate::statements::{CLOCK, FENCE, HEAD};
use crate::transaction::PostgresTransaction;
use crate::values::{parameters, references};
use crate::writer::Writer;
use async_trait::async_trait;
use factstream_core::envelope::{Position, RecordedEvent, StreamId, Version};
use factstream_core::recordable;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{Append, CommandKey, Outcome, Reading, Store, StoreError, Transaction};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Waits are shorter than this, so that a deadline can always be told.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// An event store in a PostgreSQL database. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

struct Inner {
    appends: mpsc::Sender<PendingAppend>,
    readers: Pool,
    transactions: Pool,
    shared: Arc<Shared>,
    poll_interval: Duration,
    poll_interval_listening: Duration,
    listener: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

impl PostgresStore {
    /// Opens the store that a URL names: `postgres://user@host/database`. Makes the tables when they are missing.
    ///
    /// `sslmode` has libpq's meaning: `disable`; `prefer` (the default) encrypts when the server can; `require` always encrypts;
    /// `verify-ca` also checks who signed the server's certificate, and `verify-full` that it names the host. The roots to
    /// check against are those in `sslrootcert=FILE` (PEM), else the machine's own; with a file, `prefer` and `require`
    /// check who signed, too. Sizes and limits may be said in the URL as well: `connections` in all (at least 4, see
    /// [`Options::with_connections`]), `readers`, `transactions`, and in seconds `answer_timeout`, `lock_timeout`,
    /// `transaction_time_limit`. What `options` sets is set after connecting. Everything else in the URL is the driver's: see
    /// [`tokio_postgres::Config`], among it several hosts with `target_session_attrs=read-write`.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Busy`] when the server cannot be reached, [`StoreError::Unusable`] when it refuses,
    /// and [`StoreError::Newer`] when a newer factstream made the tables.
    pub async fn open_url(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, Options::default()).await
    }

    /// As [`PostgresStore::open_url`], with limits of your own.
    ///
    /// # Errors
    /// As [`PostgresStore::open_url`].
    pub async fn open_with(url: &str, options: Options) -> Result<Self, StoreError> {
        let mut options = options;
        let server = Arc::new(Server::of_url(url, &mut options)?);
        let knowledge = Arc::new(Knowledge::default());
        let pool = |purpose, size| Pool::new(&server, &options, purpose, size, &knowledge);
        let (readers, transactions) =
            (pool(Purpose::Read, options.readers)?, pool(Purpose::Write, options.transactions)?);
        let appending = pool(Purpose::Append, 1)?;
        // One of each, so that none is without when others take all that may be had.
        let client = transactions.get().await?;
        let (reader, appender) = (readers.get().await?, appending.get().await?);
        pooler::refuse_transactions(&server, &client, &reader).await?;
        drop((reader, appender));
        migrate(&client, &server.place, options.makes_tables).await?;
        let identity = Identity::of(&client).await?;
        let fence = client.query_one(FENCE, &[]).await.map_err(|error| of_statement(FENCE, &error))?.get(0);
        knowledge.fence.learn(fence);
        drop(client);
        let shared = Arc::new(Shared {
            server,
            identity,
            knowledge,
            listening: watch::Sender::new(false),
            announcements: Announcements::new(options.hints),
            event_bytes_max: options.event_bytes_max,
            lock_timeout: options.lock_timeout,
            time_limit: options.transaction_time_limit,
            answer_timeout: options.answer_timeout,
        });
        let append_batch_max = options.append_batch_max.max(1);
        let (to_locking, refused) = mpsc::channel(append_batch_max);
        let locking = Locking { pool: appending.clone(), shared: Arc::clone(&shared), append_batch_max };
        tokio::spawn(locking.run(refused));
        let (appends, queue) = mpsc::channel(options.queue_max.max(1));
        let writer = Writer::new(Arc::clone(&shared), options.clone(), appending, to_locking);
        tokio::spawn(writer.run(queue));
        let (poll_interval, poll_interval_listening) =
            (options.poll_interval, options.poll_interval_listening);
        let listener =
            options.hints.then(|| tokio::spawn(listener::run(Arc::clone(&shared), options.clone())));
        let inner = Inner {
            appends,
            readers,
            transactions,
            shared,
            poll_interval,
            poll_interval_listening,
            listener,
        };
        let store = Self { inner: Arc::new(inner) };
        store.look().await?;
        Ok(store)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    async fn reader(&self) -> Result<Lent, StoreError> {
        self.inner.readers.get().await
    }

    /// The head as the database has it now.
    async fn look(&self) -> Result<Position, StoreError> {
        let Shared { knowledge, answer_timeout, server, .. } = &*self.inner.shared;
        let client = self.reader().await?;
        let asked = knowledge.before_asking();
        // At once, or not at all: who waits for news is not to wait for a connection that nothing comes over any more.
        let Ok(head) = timeout(*answer_timeout, head(&client)).await else {
            Lent::take(client).abandon(server);
            return Err(StoreError::Busy(format!("the server has not answered for {answer_timeout:?}")));
        };
        let head = head?;
        knowledge.found(head, asked);
        Ok(head)
    }

    /// The last parameter is the limit.
    async fn events(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let failed = |error: tokio_postgres::Error| of_limited(self.inner.shared.time_limit, sql, &error);
        let client = self.reader().await?;
        let select = client.prepare_cached(sql).await.map_err(failed)?;
        let rows_max = clamp(limit as u64);
        let mut params = params.to_vec();
        params.push(&rows_max);
        let mut found = pin!(client.query_raw(&select, params).await.map_err(failed)?);
        let mut reading = Reading::new(limit);
        while !reading.is_full()
            && let Some(row) = found.try_next().await.map_err(failed)?
        {
            reading.push(rows::event(&row).map_err(failed)?);
        }
        Ok(reading.events())
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, append: Append, key: Option<CommandKey>) -> Result<Outcome, StoreError> {
        recordable::check([&append], self.inner.shared.event_bytes_max)?;
        let (reply, answer) = oneshot::channel();
        let history = self.inner.shared.knowledge.history();
        let pending = PendingAppend { append, key, history, reply };
        self.inner.appends.send(pending).await.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let (aggregate_type, id, after) = (stream.aggregate_type(), stream.id(), clamp(after));
        self.events(include_str!("../sql/select_stream.sql"), &[&aggregate_type, &id, &after], limit).await
    }

    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, StoreError> {
        self.events(include_str!("../sql/select_log.sql"), &[&clamp(after)], limit).await
    }

    async fn query(&self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        refuse_control(sql)?;
        let failed = |error: tokio_postgres::Error| of_reading(self.inner.shared.time_limit, sql, &error);
        let client = self.reader().await?;
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        check_count(&statement, sql, params.len())?;
        let parameters = parameters(&params);
        let found = match client.query(&statement, &references(&parameters)).await {
            // The table has changed under a statement that was kept ready: prepare it anew, once.
            Err(error) if is_stale(&error) => {
                client.statement_cache.remove(sql, &[]);
                let statement = client.prepare_cached(sql).await.map_err(failed)?;
                client.query(&statement, &references(&parameters)).await
            }
            found => found,
        };
        if leaves_traces(sql) {
            drop(Lent::take(client)); // it is not for others
        }
        rows::collect(&found.map_err(failed)?)
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let Inner { transactions, shared, .. } = &*self.inner;
        Ok(Box::new(PostgresTransaction::begin(transactions, Arc::clone(shared)).await?))
    }

    async fn clock(&self) -> Result<Timestamp, StoreError> {
        let rows = self.query(CLOCK, Params::new()).await?;
        let row =
            rows.first().ok_or_else(|| StoreError::Engine("the database does not tell the time".into()))?;
        Ok(row.get("at")?)
    }

    fn history(&self) -> u64 {
        self.inner.shared.knowledge.history()
    }

    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError> {
        let deadline = Instant::now() + timeout.min(WAIT_MAX);
        let shared = &self.inner.shared;
        let (mut news, mut listening) = (shared.knowledge.news.subscribe(), shared.listening.subscribe());
        let mut head = *news.borrow_and_update();
        if timeout.is_zero() || head <= after {
            head = self.look().await?;
        }
        while head <= after && Instant::now() < deadline {
            let interval = match *listening.borrow_and_update() {
                true => self.inner.poll_interval_listening,
                false => self.inner.poll_interval,
            };
            let next_look = deadline.min(Instant::now() + interval);
            head = tokio::select! {
                biased;
                _ = news.changed() => *news.borrow_and_update(),
                // The interval is another now, and hints may have been missed.
                _ = listening.changed() => self.look().await?,
                () = tokio::time::sleep_until(next_look) => self.look().await?,
            };
        }
        Ok(head)
    }
}

/// The head as the database has it.
async fn head(session: &Session) -> Result<Position, StoreError> {
    let failed = |error: tokio_postgres::Error| of_statement(HEAD, &error);
    let select = session.prepare_cached(HEAD).await.map_err(failed)?;
    Ok(session.query_one(&select, &[]).await.map_err(failed)?.get::<_, i64>(0).cast_unsigned())
}

/// "cached plan must not change result type"
fn is_stale(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&tokio_postgres::error::SqlState::FEATURE_NOT_SUPPORTED)
}

/// A position or count as PostgreSQL takes it.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
