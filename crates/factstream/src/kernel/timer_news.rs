//! News of timers that were set in this process, for whoever waits for the next one to be due.

use tokio::sync::watch;

/// Counts the transactions that have set timers.
#[derive(Debug)]
pub(crate) struct TimerNews(watch::Sender<u64>);

impl Default for TimerNews {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl TimerNews {
    /// Timers were set, and are committed.
    pub(crate) fn tell(&self) {
        self.0.send_modify(|told| *told += 1);
    }

    /// What changes with the next news.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
