//! The limits of a store. Every queue, batch and pool has one (G13).

use std::time::Duration;

/// How a store is run. The defaults fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Connections for reads.
    pub readers: usize,
    /// Connections for transactions: how many run at once.
    pub transactions: usize,
    /// The most appends in one commit.
    pub append_batch_max: usize,
    /// The most appends that wait; more are made to wait in their callers.
    pub queue_max: usize,
    /// How long a statement may run, or a transaction stand idle, before the server ends it.
    pub transaction_time_limit: Duration,
    /// How long a statement waits for a lock.
    pub lock_timeout: Duration,
    /// How often to look for the commits of other processes while somebody waits for news and no listener is alive.
    pub poll_interval: Duration,
    /// The same while a listener is alive: the hint comes first, and this is how late news can be when it is lost.
    pub poll_interval_listening: Duration,
    /// Whether commits are announced with `NOTIFY`, and a connection listens to those of other processes. Announcements
    /// are hints, polling goes on beside them; turn them off behind a pooler that gives out a connection for each transaction.
    pub hints: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 4,
            transactions: 8,
            append_batch_max: 512,
            queue_max: 4_096,
            transaction_time_limit: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(20),
            poll_interval_listening: Duration::from_millis(100),
            hints: true,
        }
    }
}
