//! A process that has something to do for a while shows that it lives, and does it alone where that is needed.

use super::{Builds, Leases};
use crate::error::Error;
use factstream_core::store::Store;
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

/// Shows that this process lives until it leaves.
pub(crate) struct Present {
    leases: Arc<Leases>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
    beating: AbortOnDropHandle<()>,
}

impl Present {
    pub(crate) async fn enter(store: &Arc<dyn Store>, service: &str) -> Result<Self, Error> {
        let builds = Builds::default();
        let leases = Arc::new(Leases::enter(Arc::clone(store), service, &builds).await?);
        let stop = CancellationToken::new();
        let beating = tokio::spawn({
            let (leases, stop) = (Arc::clone(&leases), stop.clone());
            async move { leases.beat(stop).await }
        });
        let beating = AbortOnDropHandle::new(beating);
        Ok(Self { leases, _stop_on_drop: stop.clone().drop_guard(), stop, beating })
    }

    /// What this process is called meanwhile.
    pub(crate) fn owner(&self) -> &str {
        self.leases.owner()
    }

    /// Gives back what it holds. What cannot be given back runs out by itself.
    pub(crate) async fn leave(self) {
        self.stop.cancel();
        let _ = self.beating.await;
        if let Err(error) = self.leases.leave().await {
            tracing::warn!(%error, "a lease could not be given back; it expires in a few seconds");
        }
    }
}

/// Does something that no two processes do at once.
pub(crate) struct Alone(Present);

impl Alone {
    /// Waits until nobody else does it.
    pub(crate) async fn wait(store: &Arc<dyn Store>, service: &str, what: &str) -> Result<Self, Error> {
        let present = Present::enter(store, service).await?;
        let waits = std::sync::Once::new();
        let told = |owner: &str| {
            waits.call_once(|| tracing::info!(what, owner, "another process does this; waiting for it"));
        };
        present.leases.acquire(what, None, &present.stop, told).await?;
        Ok(Self(present))
    }

    /// Lets others go on.
    pub(crate) async fn end(self) {
        self.0.leave().await;
    }
}
