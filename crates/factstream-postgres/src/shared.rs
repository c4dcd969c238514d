//! What the writer, the transactions and the listener of one store have in common.

use crate::announcements::Announcements;
use crate::append_in::Identity;
use crate::connect::Server;
use factstream_core::envelope::Position;
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
    pub(crate) lock_timeout: Duration,
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
