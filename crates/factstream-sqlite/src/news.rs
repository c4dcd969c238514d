//! News of the log: this process's commits at once, other processes' by looking now and then.
//!
//! Invariant: a position is told only after it is committed. Looking is the truth; the channel only saves looking.

use factstream_core::envelope::Position;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

pub(crate) struct News {
    head: watch::Sender<Position>,
    looked: Mutex<Instant>,
}

impl News {
    pub(crate) fn new(head: Position) -> Self {
        Self { head: watch::Sender::new(head), looked: Mutex::new(Instant::now()) }
    }

    /// The log reaches this far.
    pub(crate) fn tell(&self, head: Position) {
        self.head.send_if_modified(|known| {
            let news = head > *known;
            *known = head.max(*known);
            news
        });
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Whether it is this caller's turn to look into the file: one of all waiters, once an interval.
    pub(crate) fn is_time_to_look(&self, interval: Duration) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.elapsed() >= interval;
        if due {
            *looked = Instant::now();
        }
        due
    }
}
