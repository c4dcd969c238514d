//! Pools of sessions that are fit for use: checked when they are made, and asked for a sign of life after a pause.
//!
//! A pool takes what it gets: where the role or the server allows no more connections, it makes do with those that it has, and
//! tries for more later.

use crate::connect::Server;
use crate::knowledge::Knowledge;
use crate::options::Options;
use crate::purpose::Purpose;
use crate::session::Session;
use deadpool::managed::{Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use deadpool::{Runtime, managed};
use factstream_core::store::StoreError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A connection that was not used for so long is asked whether it is alive before it is used.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(1);
/// How long it has to answer.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(2);
/// When a pool that was refused a connection tries for more.
const SHRUNK_FOR: Duration = Duration::from_secs(60);

/// A connection from a pool, given back when it is dropped.
pub(crate) type Lent = Object<Sessions>;

/// Connections for one purpose.
#[derive(Clone)]
pub(crate) struct Pool {
    sessions: managed::Pool<Sessions>,
    size: usize,
    shrunk: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// A pool of at most `size` connections.
    pub(crate) fn new(
        server: &Arc<Server>,
        options: &Options,
        purpose: Purpose,
        size: usize,
        knowledge: &Arc<Knowledge>,
    ) -> Result<Self, StoreError> {
        let size = size.max(1);
        let sessions = Sessions {
            server: Arc::clone(server),
            options: options.clone(),
            purpose,
            knowledge: Arc::clone(knowledge),
        };
        // The connection that was used last: its backend has at hand what it needs.
        let pool = managed::Pool::builder(sessions).max_size(size).queue_mode(QueueMode::Lifo);
        // Whoever waits for so long for a turn waits for those who may not take so long.
        let wait = options.transaction_time_limit + options.answer_timeout;
        let pool = pool.runtime(Runtime::Tokio1).wait_timeout(Some(wait)).build();
        let pool = pool.map_err(|error| crate::error::engine(&error))?;
        Ok(Self { sessions: pool, size, shrunk: Arc::default() })
    }

    /// A connection that is alive.
    pub(crate) async fn get(&self) -> Result<Lent, StoreError> {
        self.grow_again();
        loop {
            match self.sessions.get().await {
                Ok(lent) => return Ok(lent),
                Err(PoolError::Backend(Refused { error, too_many: true })) => {
                    match self.sessions.status().size {
                        0 => return Err(error),
                        had => self.shrink(had, &error),
                    }
                }
                Err(PoolError::Backend(Refused { error, .. })) => return Err(error),
                Err(PoolError::Timeout(_)) => {
                    return Err(StoreError::Busy(format!(
                        "none of the {} connections was free in time; raise readers or transactions in the URL, or do less in one \
                         transaction",
                        self.sessions.status().max_size
                    )));
                }
                Err(_) => return Err(StoreError::Closed),
            }
        }
    }

    /// Makes do with the connections that it has: the next one that is given back is waited for.
    fn shrink(&self, had: usize, error: &StoreError) {
        let mut shrunk = self.shrunk();
        if shrunk.replace(Instant::now()).is_none() {
            tracing::warn!(
                %error, had, wanted = self.size,
                "no more connections are allowed; working with fewer. Raise the limit (ALTER ROLE .. CONNECTION LIMIT, \
                 max_connections), or say connections=N in the URL"
            );
        }
        self.sessions.resize(had);
    }

    fn grow_again(&self) {
        let mut shrunk = self.shrunk();
        if shrunk.is_some_and(|since| since.elapsed() > SHRUNK_FOR) {
            *shrunk = None;
            self.sessions.resize(self.size);
        }
    }

    fn shrunk(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.shrunk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes and checks the connections of a pool.
pub(crate) struct Sessions {
    server: Arc<Server>,
    options: Options,
    purpose: Purpose,
    knowledge: Arc<Knowledge>,
}

/// Why there is no connection.
pub(crate) struct Refused {
    error: StoreError,
    /// The server or the role has as many as it may have.
    too_many: bool,
}

impl Manager for Sessions {
    type Type = Session;
    type Error = Refused;

    async fn create(&self) -> Result<Session, Refused> {
        let opened = Session::open(&self.server, &self.options, self.purpose, None).await;
        let session = opened.map_err(|error| Refused { too_many: is_too_many(&error), error })?;
        self.knowledge.reached(session.timeline.as_deref());
        Ok(session)
    }

    async fn recycle(&self, session: &mut Session, metrics: &Metrics) -> RecycleResult<Refused> {
        let lost = |text: &'static str| Err(RecycleError::message(text));
        if session.is_closed() {
            return lost("the connection is closed");
        }
        if metrics.last_used() > IDLE_MAX && !session.is_alive().await {
            return lost("the connection does not answer");
        }
        Ok(())
    }
}

impl Session {
    /// Whether the server answers at once.
    pub(crate) async fn is_alive(&self) -> bool {
        matches!(timeout(PROBE_MAX, self.simple_query("")).await, Ok(Ok(_)))
    }
}

fn is_too_many(error: &StoreError) -> bool {
    matches!(error, StoreError::Busy(text) if text.contains(crate::error::TOO_MANY))
}
