//! What a store remembers of its log, as a hint: the newest head, where the fence stands, how far streams reach. And whether that
//! log is still the one it was learned of.
//!
//! A standby that takes over may lack the newest commits of the server before it, where replication is asynchronous. What was
//! learned of those is wrong from then on, so all of it is forgotten, and the history has another number: whoever keeps
//! anything of the log in memory asks for that number, too.

use crate::reached::Reached;
use factstream_core::envelope::Position;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

pub(crate) struct Knowledge {
    /// The newest head that is known here.
    pub(crate) news: watch::Sender<Position>,
    pub(crate) fence: Fence,
    pub(crate) reached: Reached,
    history: AtomicU64,
    timeline: Mutex<Option<String>>,
}

/// What was known when the server was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    history: u64,
    head: Position,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self {
            news: watch::Sender::new(0),
            fence: Fence(AtomicI64::new(0)),
            reached: Reached::default(),
            history: AtomicU64::new(0),
            timeline: Mutex::default(),
        }
    }
}

impl Knowledge {
    /// A connection was made to a server with this time line; `None` to a standby.
    pub(crate) fn reached(&self, timeline: Option<&str>) {
        let Some(timeline) = timeline else { return };
        let mut known = self.timeline.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(timeline) {
            let is_another = known.replace(timeline.to_owned()).is_some();
            if is_another {
                tracing::warn!(
                    timeline,
                    "another server has taken over; what was known of the log is looked up anew"
                );
                self.forget();
            }
        }
    }

    /// The log reaches this far.
    pub(crate) fn tell(&self, head: Position) {
        self.news.send_if_modified(|known| {
            let is_news = head > *known;
            *known = head.max(*known);
            is_news
        });
    }

    /// What is known before the server is asked where the log ends, on a connection that is there.
    pub(crate) fn before_asking(&self) -> Asked {
        // In this order: should it be forgotten in between, the answer is not compared.
        let history = self.history();
        Asked { history, head: *self.news.borrow() }
    }

    /// The log was found to reach this far.
    pub(crate) fn found(&self, head: Position, asked: Asked) {
        if head < asked.head && self.history() == asked.history {
            tracing::warn!(
                head,
                known = asked.head,
                "the log is shorter than it was; what was known of it is looked up anew"
            );
            self.forget();
        }
        self.tell(head);
    }

    /// A number that changes when the log may have lost its newest events.
    pub(crate) fn history(&self) -> u64 {
        self.history.load(Ordering::Acquire)
    }

    fn forget(&self) {
        self.history.fetch_add(1, Ordering::AcqRel);
        self.reached.forget_all();
        self.fence.forget();
        self.news.send_replace(0);
    }
}

/// Where the fence of the log stands, as far as is known here. One that has moved on is learned with the next append.
pub(crate) struct Fence(AtomicI64);

impl Fence {
    pub(crate) fn known(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// It only moves up, and may be told out of order.
    pub(crate) fn learn(&self, fence: i64) {
        self.0.fetch_max(fence, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_of_a_log_that_has_lost_its_end_is_forgotten() {
        let knowledge = Knowledge::default();
        knowledge.reached(Some("00000001"));
        let asked = knowledge.before_asking();
        knowledge.found(100, asked);
        knowledge.fence.learn(7);
        knowledge.found(98, asked);
        assert_eq!((*knowledge.news.borrow(), knowledge.history()), (100, 0), "an answer that was overtaken");
        let asked = knowledge.before_asking();
        knowledge.found(98, asked);
        assert_eq!((*knowledge.news.borrow(), knowledge.fence.known(), knowledge.history()), (98, 0, 1));
        knowledge.found(98, asked);
        assert_eq!(knowledge.history(), 1, "it was asked before that was known");
        knowledge.reached(None);
        knowledge.reached(Some("00000001"));
        assert_eq!(knowledge.history(), 1);
        knowledge.reached(Some("00000002"));
        assert_eq!((*knowledge.news.borrow(), knowledge.history()), (0, 2));
    }
}
