//! What the writer, the transactions and the listener of one store have in common.

use crate::announcements::Announcements;
use crate::append_in::Identity;
use crate::connect::Server;
use crate::reached::Reached;
use factstream_core::envelope::Position;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub(crate) struct Shared {
    pub(crate) server: Server,
    pub(crate) identity: Identity,
    /// The newest head that is known here.
    pub(crate) news: watch::Sender<Position>,
    /// Whether a listener is alive.
    pub(crate) listening: watch::Sender<bool>,
    pub(crate) announcements: Announcements,
    pub(crate) fence: Fence,
    pub(crate) reached: Reached,
    pub(crate) lock_timeout: Duration,
    /// How long a statement may take.
    pub(crate) time_limit: Duration,
}

/// Where the fence of the log stands, as far as is known here. One that has moved on is learned with the next append.
pub(crate) struct Fence(AtomicI64);

impl Fence {
    pub(crate) fn new(fence: i64) -> Self {
        Self(AtomicI64::new(fence))
    }

    pub(crate) fn known(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// It only moves up, and may be told out of order.
    pub(crate) fn learn(&self, fence: i64) {
        self.0.fetch_max(fence, Ordering::Relaxed);
    }
}

impl Shared {
    /// Events up to here were committed by this store.
    pub(crate) fn committed(&self, head: Position, announced: bool) {
        self.tell(head);
        if !announced {
            self.announcements.owe();
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
}
