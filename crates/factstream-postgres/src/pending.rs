//! An append that waits for its commit, and whoever waits for its answer.

use factstream_core::envelope::Version;
use factstream_core::store::{Append, CommandKey, Outcome, StoreError};
use tokio::sync::oneshot;

/// An append on its way.
pub(crate) struct PendingAppend {
    pub(crate) append: Append,
    pub(crate) key: Option<CommandKey>,
    /// The history of the log that it was decided on.
    pub(crate) history: u64,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

impl PendingAppend {
    /// Another server has taken over since it was decided: its stream may be another one at the same version.
    pub(crate) fn refuse_history(self) {
        let text =
            "another server has taken over meanwhile, which may lack the newest events; nothing was stored";
        let _ = self.reply.send(Err(StoreError::Busy(text.into())));
    }
}

/// An append, and the version that its stream is assumed to be at.
pub(crate) type Attempted = (PendingAppend, Version);
