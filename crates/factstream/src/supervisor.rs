//! Runs the relay and every handler, each in a task of its own, and starts again what fails, with backoff (G14).
//!
//! Invariant: nothing dies silently. A task that fails or panics is shown as `restarting` in the status, with the error
//! and the time, until it runs again.

use crate::app::App;
use crate::error::Error;
use crate::housekeeping;
use crate::leases::{Leases, Part};
use crate::mirror;
use crate::processor::options::Retry;
use crate::processor::reaction::panic_text;
use crate::processor::{From, Processor, Spec};
use crate::relay;
use crate::status::{Health, State};
use factstream_core::sql::now;
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// When a failed task is started again.
const BACKOFF: Retry = Retry {
    max_attempts: u32::MAX,
    initial: Duration::from_millis(100),
    factor: 2.0,
    max_delay: Duration::from_secs(30),
    jitter: 0.2,
};
/// A task that ran this long had recovered: its backoff starts anew.
const RECOVERED: Duration = Duration::from_secs(60);

/// The running relay and handlers. Stop them with [`Running::stop`]; dropping it stops them without waiting.
#[must_use = "dropping it stops the handlers"]
pub struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    leases: Arc<Leases>,
    beating: tokio::task::JoinHandle<()>,
    beat_stop: CancellationToken,
}

impl App {
    /// Starts the relay and every handler.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn start(&self) -> Result<Running, Error> {
        let stop = CancellationToken::new();
        let beat_stop = CancellationToken::new();
        let leases = Arc::new(Leases::enter(Arc::clone(self.store()), &self.service()).await?);
        let beating = tokio::spawn({
            let (leases, stop) = (Arc::clone(&leases), beat_stop.clone());
            async move { leases.beat(stop).await }
        });
        let mut tasks = JoinSet::new();
        let health = self.healths().of(relay::NAME);
        tasks.spawn(supervise(relay::NAME.to_owned(), health.clone(), stop.clone(), {
            let (app, leases, stop) = (self.clone(), Arc::clone(&leases), stop.clone());
            move || run_relay(app.clone(), Arc::clone(&leases), health.clone(), stop.clone())
        }));
        for spec in self.specs() {
            let health = self.healths().of(&spec.name);
            tasks.spawn(supervise(spec.name.clone(), health.clone(), stop.clone(), {
                let (app, spec, leases, stop) =
                    (self.clone(), spec.clone(), Arc::clone(&leases), stop.clone());
                move || {
                    run_handler(app.clone(), spec.clone(), Arc::clone(&leases), health.clone(), stop.clone())
                }
            }));
        }
        if self.mirrors_dead_letters() {
            let health = Arc::new(Health::new());
            tasks.spawn(supervise(mirror::NAME.to_owned(), health, stop.clone(), {
                let (app, leases, stop) = (self.clone(), Arc::clone(&leases), stop.clone());
                move || run_mirror(app.clone(), Arc::clone(&leases), stop.clone())
            }));
        }
        let health = Arc::new(Health::new());
        tasks.spawn(supervise("housekeeping".to_owned(), health, stop.clone(), {
            let (app, stop) = (self.clone(), stop.clone());
            move || housekeeping::run(app.clone(), stop.clone())
        }));
        Ok(Running { stop, tasks, leases, beating, beat_stop })
    }
}

impl Running {
    /// Stops: what is being handled is finished and committed, then the leases are given back.
    ///
    /// `true` when all of it ended within the deadline. What did not is ended where it is: its transaction rolls back,
    /// and it is handled after the next start. Nothing that was acknowledged is lost either way.
    pub async fn stop(mut self, deadline: Duration) -> bool {
        self.stop.cancel();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(deadline, drained).await.is_ok();
        self.tasks.abort_all();
        self.beat_stop.cancel();
        let _ = (&mut self.beating).await;
        if let Err(error) = self.leases.leave().await {
            tracing::warn!(%error, "the leases could not be given back; others take them over in a few seconds");
        }
        in_time
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.beat_stop.cancel();
    }
}

async fn run_relay(
    app: App,
    leases: Arc<Leases>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let standby = |owner: &str| health.set(State::Standby { owner: owner.to_owned() });
    match leases.acquire(relay::NAME, &stop, standby).await? {
        Some(owned) => relay::run(&app, health.clone(), owned).await,
        None => Ok(()),
    }
}

async fn run_mirror(app: App, leases: Arc<Leases>, stop: CancellationToken) -> Result<(), Error> {
    match leases.acquire(mirror::NAME, &stop, |_| ()).await? {
        Some(owned) => mirror::run(&app, owned).await,
        None => Ok(()),
    }
}

async fn run_handler(
    app: App,
    spec: Spec,
    leases: Arc<Leases>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> Result<(), Error> {
    if spec.shard.count() > 1 {
        return run_shard(app, spec, leases, health, stop).await;
    }
    let needs_owner = spec.from == From::Log || app.owned_groups();
    let stop = if needs_owner {
        let standby = |owner: &str| health.set(State::Standby { owner: owner.to_owned() });
        match leases.acquire(&format!("handler {}", spec.name), &stop, standby).await? {
            Some(owned) => owned,
            None => return Ok(()),
        }
    } else {
        stop
    };
    health.idle();
    Processor::new(&app, &spec, health, stop).run(&spec).await
}

/// How often a process looks whether it owns more than its share.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs one part of a projection that several processes share, as long as it is within this process's share.
async fn run_shard(
    app: App,
    spec: Spec,
    leases: Arc<Leases>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let name = format!("handler {}", spec.name);
    let part = Part { family: format!("handler {}", spec.handler), of: spec.shard.count() };
    let standby = |owner: &str| health.set(State::Standby { owner: owner.to_owned() });
    let Some(owned) = leases.acquire_part(&name, &part, &stop, standby).await? else { return Ok(()) };
    health.idle();
    let processor = Processor::new(&app, &spec, health.clone(), owned.clone());
    let running = processor.run(&spec);
    tokio::pin!(running);
    let done = loop {
        tokio::select! {
            done = &mut running => break done,
            () = tokio::time::sleep(SHARE_INTERVAL) => {
                if leases.is_to_give_up(&name, &part) {
                    owned.cancel(); // it ends after its batch
                    break running.await;
                }
            }
        }
    };
    if !stop.is_cancelled() {
        leases.give_back(&name).await?;
    }
    done
}

/// Runs `start` again and again until `stop`.
async fn supervise<F, R>(name: String, health: Arc<Health>, stop: CancellationToken, start: F)
where
    F: Fn() -> R + Send,
    R: Future<Output = Result<(), Error>> + Send,
{
    let mut failures = 0;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let error = match AssertUnwindSafe(start()).catch_unwind().await {
            Ok(Ok(())) => {
                failures = 0;
                continue; // stopped, or its lease went to another: wait for it again
            }
            Ok(Err(Error::Superseded { .. })) => {
                // Somebody moved its checkpoint: a rebuild that switched, or another owner. It goes on from there.
                tracing::info!(handler = %name, "its checkpoint was moved; it goes on from there");
                let _ = tokio::time::timeout(BACKOFF.initial, stop.cancelled()).await;
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panicked: {}", panic_text(&*panic)),
        };
        failures = if started.elapsed() >= RECOVERED { 1 } else { failures + 1 };
        let delay = BACKOFF.delay_with_jitter(failures);
        let at = now().checked_add(delay).unwrap_or_else(|_| now());
        tracing::error!(handler = %name, %error, restart_at = %at, "failed as a whole; it is started again");
        health.restarting(error, at);
        let _ = tokio::time::timeout(delay, stop.cancelled()).await;
    }
    health.set(State::Stopped);
}
