//! Which members are in their groups: one that leaves does so on its own thread, after its subscription was dropped.

use std::sync::Arc;
use tokio::sync::watch;

/// Counts the members of one broker's handle.
#[derive(Clone, Default)]
pub(crate) struct Presence(Arc<watch::Sender<usize>>);

/// One member, until it is dropped.
pub(crate) struct Present(Arc<watch::Sender<usize>>);

impl Presence {
    pub(crate) fn enter(&self) -> Present {
        self.0.send_modify(|members| *members += 1);
        Present(Arc::clone(&self.0))
    }

    pub(crate) async fn until_nobody(&self) {
        // The sender is here, so that the channel is open.
        let _ = self.0.subscribe().wait_for(|members| *members == 0).await;
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.send_modify(|members| *members -= 1);
    }
}
