//! What the writer, the transactions and the listener of one store have in common.

use crate::announcements::Announcements;
use crate::connect::Server;
use crate::identity::Identity;
use crate::knowledge::Knowledge;
use factstream_core::envelope::Position;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub(crate) struct Shared {
    pub(crate) server: Arc<Server>,
    pub(crate) identity: Identity,
    pub(crate) knowledge: Arc<Knowledge>,
    /// Whether a listener is alive.
    pub(crate) listening: watch::Sender<bool>,
    pub(crate) announcements: Announcements,
    pub(crate) lock_timeout: Duration,
    /// The most bytes of one event.
    pub(crate) event_bytes_max: usize,
    /// How long a statement may take.
    pub(crate) time_limit: Duration,
    /// How late an answer may be.
    pub(crate) answer_timeout: Duration,
}

impl Shared {
    /// Events up to here were committed by this store.
    pub(crate) fn committed(&self, head: Position, announced: bool) {
        self.knowledge.tell(head);
        if !announced {
            self.announcements.owe();
        }
    }
}
