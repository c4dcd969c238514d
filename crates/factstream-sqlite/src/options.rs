//! The limits of a store. Every queue and batch has one (G13).

use std::time::Duration;

/// Large, for the store itself has no reason for less: an application says what its broker takes.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How a store is run. The defaults fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether missing tables are made, and older ones migrated. Without it, a store that is not of this release is refused, and
    /// opening changes nothing.
    pub makes_tables: bool,
    /// Reading connections: how many reads run at once.
    pub readers: usize,
    /// The most appends in one commit.
    pub append_batch_max: usize,
    /// The most appends and transactions that wait for the writer; more are made to wait in their callers.
    pub queue_max: usize,
    /// How long a transaction may last before it is rolled back: it keeps every other writer waiting.
    pub transaction_time_limit: Duration,
    /// How long to wait for another process that is writing.
    pub busy_timeout: Duration,
    /// How often to look for the commits of other processes while somebody waits for news.
    pub poll_interval: Duration,
    /// The most bytes of one event's data and metadata.
    pub event_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            makes_tables: true,
            readers: 4,
            append_batch_max: 512,
            queue_max: 4_096,
            transaction_time_limit: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(50),
            event_bytes_max: EVENT_BYTES_MAX,
        }
    }
}
