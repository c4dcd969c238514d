//! The limits of a store. Every queue, batch and pool has one (G13), and so has every wait for the server.

use crate::purpose::Purpose;
use std::time::Duration;

/// Connections that a store works with at least: one for appends, one for reads, two for transactions.
pub(crate) const CONNECTIONS_MIN: usize = 4;
/// Large, for the store itself has no reason for less: an application says what its broker takes.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How a store is run. The defaults fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether missing tables are made, and older ones migrated. Without it, a store that is not of this release is refused, and
    /// opening changes nothing.
    pub makes_tables: bool,
    /// Connections for reads. In the URL: `readers`.
    pub readers: usize,
    /// Connections for transactions: how many run at once. In the URL: `transactions`.
    pub transactions: usize,
    /// Whether appends have a second connection, on which most of them are one statement each and follow each other without a
    /// pause. Without it all of them go the longer way of those that meet a conflict: right, and slower.
    pub append_ahead: bool,
    /// The most appends in one commit.
    pub append_batch_max: usize,
    /// The most appends that wait; more are made to wait in their callers.
    pub queue_max: usize,
    /// How long a statement may run, or a transaction stand idle, before the server ends it. In the URL:
    /// `transaction_time_limit`, in seconds.
    pub transaction_time_limit: Duration,
    /// How long a statement waits for a lock. In the URL: `lock_timeout`, in seconds.
    pub lock_timeout: Duration,
    /// How long an answer may be late: a server that is silent for longer than a statement may run and this, is taken to be out of
    /// reach, and the connection is dropped. What became of a commit on it is asked for over another one. In the URL:
    /// `answer_timeout`, in seconds.
    pub answer_timeout: Duration,
    /// How often to look for the commits of other processes while somebody waits for news and no listener is alive.
    pub poll_interval: Duration,
    /// The same while a listener is alive: the hint comes first, and this is how late news can be when it is lost.
    pub poll_interval_listening: Duration,
    /// Whether commits are announced with `NOTIFY`, and a connection listens to those of other processes. Announcements
    /// are hints, polling goes on beside them.
    pub hints: bool,
    /// The most bytes of one event's data and metadata.
    pub event_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            makes_tables: true,
            readers: 4,
            transactions: 8,
            append_ahead: true,
            append_batch_max: 512,
            queue_max: 4_096,
            transaction_time_limit: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(5),
            poll_interval: Duration::from_millis(20),
            poll_interval_listening: Duration::from_millis(100),
            hints: true,
            event_bytes_max: EVENT_BYTES_MAX,
        }
    }
}

impl Options {
    /// The defaults with so many connections in all, for a role or server that allows no more. In the URL: `connections`.
    ///
    /// Four is the least: one for appends, one for reads, two for transactions. The fifth makes appends faster
    /// ([`Options::append_ahead`]), the sixth hears of other processes' commits ([`Options::hints`]; without it they are polled for);
    /// of more, two go to transactions for each that goes to reads. With 15 they are the defaults.
    ///
    /// ```
    /// # use factstream_postgres::Options;
    /// let few = Options::with_connections(4);
    /// assert_eq!((few.readers, few.transactions, few.append_ahead, few.hints), (1, 2, false, false));
    /// assert_eq!(Options::with_connections(15), Options::default());
    /// ```
    #[must_use]
    pub fn with_connections(connections: usize) -> Self {
        let mut options = Self::default();
        options.share(connections);
        options
    }

    pub(crate) fn share(&mut self, connections: usize) {
        let more = connections.saturating_sub(CONNECTIONS_MIN);
        (self.append_ahead, self.hints) = (more >= 1, more >= 2);
        let more = more.saturating_sub(2);
        self.readers = 1 + more / 3;
        self.transactions = 2 + more - more / 3;
    }

    /// How many connections the store opens at most.
    pub fn connections(&self) -> usize {
        self.readers.max(1)
            + self.transactions.max(1)
            + 1
            + usize::from(self.append_ahead)
            + usize::from(self.hints)
    }

    /// How long the server lets a statement run.
    pub(crate) fn statement_limit(&self, purpose: Purpose) -> Duration {
        match purpose {
            // They are short, but for the wait for the log's lock.
            Purpose::Append => self.transaction_time_limit.min(self.lock_timeout + Duration::from_secs(1)),
            _ => self.transaction_time_limit,
        }
    }

    /// How long the server may be silent while an answer is due.
    pub(crate) fn silence_max(&self, purpose: Purpose) -> Duration {
        self.statement_limit(purpose) + self.answer_timeout
    }
}
