//! What [`App::start`] gives: the relay and the handlers while they run, and how they end (G14).
//!
//! Invariant: they never stop without a word. Whoever drops the handle is told so in the log, and whoever then waits for a read
//! model is told why nothing comes.

use crate::app::App;
use crate::leases::Leases;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long giving back leases and partitions may take: without that they run out by themselves.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// The running relay and handlers. Keep it as long as they are to run, and end with [`Running::stop`].
///
/// Dropping it stops them at once, logs an error, and lets [`Error::WaitTimedOut`](crate::Error::WaitTimedOut) say so. Two other
/// ways: [`Running::run_until`] runs until a future ends, which is all that many programs need; [`Running::detach`] lets them run
/// as long as the process.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), factstream::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let app = factstream::App::open(format!("sqlite://{}", dir.path().join("a.db").display())).await?;
/// # let end_of_the_program = async {};
/// let in_time = app.start().await?.run_until(end_of_the_program, std::time::Duration::from_secs(10)).await;
/// assert!(in_time);
/// # Ok(())
/// # }
/// ```
///
/// The compiler warns where it is dropped at once:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// async fn start(app: &factstream::App) -> Result<(), factstream::Error> {
///     app.start().await?;
///     Ok(())
/// }
/// ```
#[must_use = "the relay and the handlers stop when this is dropped; keep it in a variable with a name (not `_`) and call .stop(..) at the end, or call .run_until(..) or .detach()"]
pub struct Running {
    app: App,
    /// `None` once it was stopped or detached.
    parts: Option<Parts>,
}

/// What runs.
pub(crate) struct Parts {
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) beating: JoinHandle<()>,
    pub(crate) beat_stop: CancellationToken,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("app", &self.app).finish_non_exhaustive()
    }
}

impl Running {
    pub(crate) fn new(app: App, parts: Parts) -> Self {
        Self { app, parts: Some(parts) }
    }

    /// Stops: what is being handled is finished and committed, then the partitions of the groups and the leases are given back.
    ///
    /// `true` when all of it ended within the deadline; it returns two seconds later at most. What did not is ended where it is: its transaction rolls back,
    /// and it is handled after the next start. Nothing that was acknowledged is lost either way.
    pub async fn stop(mut self, deadline: Duration) -> bool {
        match self.parts.take() {
            Some(parts) => parts.stop(&self.app, deadline).await,
            None => true,
        }
    }

    /// Runs until `shutdown` ends, for example `tokio::signal::ctrl_c()`, then stops within the deadline as [`Running::stop`] does.
    pub async fn run_until(self, shutdown: impl Future, deadline: Duration) -> bool {
        shutdown.await;
        self.stop(deadline).await
    }

    /// Lets the relay and the handlers run as long as the runtime, with no way to stop them. What is being handled when the process
    /// ends is rolled back and handled after the next start; leases run out by themselves.
    pub fn detach(mut self) {
        if let Some(mut parts) = self.parts.take() {
            parts.tasks.detach_all();
        }
    }
}

impl Parts {
    async fn stop(mut self, app: &App, deadline: Duration) -> bool {
        self.stop.cancel();
        let until = Instant::now() + deadline;
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(deadline, drained).await.is_ok();
        self.tasks.abort_all();
        self.beat_stop.cancel();
        let leave = async {
            let _ = (&mut self.beating).await;
            self.leases.leave().await
        };
        let leave_groups = async {
            while self.tasks.join_next().await.is_some() {}
            app.broker().until_left().await;
        };
        let patience = until.saturating_duration_since(Instant::now()).max(LEAVE_WITHIN);
        let (leases, groups) = tokio::join!(
            tokio::time::timeout(LEAVE_WITHIN, leave),
            tokio::time::timeout(patience, leave_groups)
        );
        let expire = "others take them over in a few seconds";
        match leases {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the leases could not be given back; {expire}"),
            Err(_) => tracing::warn!("the leases were not given back within {LEAVE_WITHIN:?}; {expire}"),
        }
        if groups.is_err() {
            tracing::warn!("the partitions of the groups were not given back within {patience:?}; {expire}");
        }
        in_time && groups.is_ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        self.app.healths().dropped();
        tracing::error!(
            service = %self.app.service(),
            "the value that App::start gave was dropped, so the relay and the handlers stop; keep it in a variable (not `_`) and call stop at the end, or call run_until or detach"
        );
        parts.stop.cancel();
        parts.beat_stop.cancel();
    }
}
