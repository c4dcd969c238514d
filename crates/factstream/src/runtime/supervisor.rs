//! Runs the relay and every handler, each in a task of its own, and starts again what fails, with backoff (G14).
//!
//! Invariant: nothing dies silently. A task that fails or panics is shown as `restarting` in the status, with the error
//! and the time, until it runs again.

use crate::app::App;
use crate::error::Error;
use crate::handler::Retry;
use crate::health::{Health, State};
use crate::kernel::names::{RELAY, SEALER};
use crate::kernel::system;
use crate::leases::{Leases, Part};
use crate::processor::{Processor, Spec, checkpoint};
use crate::registry::{self, Build, Look, Registered};
use crate::relay;
use crate::runtime::halt::Halt;
use crate::runtime::running::{Parts, Running};
use crate::runtime::take_over::{self, Comeback};
use crate::runtime::{housekeeping, mirror};
use crate::seals::sealer;
use crate::tasks::panic_text;
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
/// How often it is looked whether another build still runs a handler.
const LOOK: Duration = Duration::from_secs(1);
/// How long no process of the registered build may have been seen before an earlier build takes a handler over.
const DESERTED: Duration = Duration::from_secs(5);
/// A task that ran this long had recovered: its backoff starts anew.
const RECOVERED: Duration = Duration::from_secs(60);

impl App {
    /// Starts the relay and every handler. They run until the value that this gives is stopped or dropped: keep it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), factstream::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let app = factstream::App::open(format!("sqlite://{}", dir.path().join("a.db").display())).await?;
    /// let running = app.start().await?;
    /// // .. serve requests until it is time to end
    /// running.stop(std::time::Duration::from_secs(10)).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::BeyondHead`] when a part of the store was restored from an older backup; [`Error::Wiring`] when the store is given
    /// another broker while a consumer has records unread in its embedded topics; and when the store cannot be written.
    pub async fn start(&self) -> Result<Running, Error> {
        if self.looks_only() {
            return Err(Error::Wiring(
                "it was opened to look only; open it with Builder::open to start it".into(),
            ));
        }
        checkpoint::refuse_beyond_head(self.store().as_ref()).await?;
        system::keep_namespace(self.store().as_ref(), self.system()).await?;
        self.refuse_to_leave_embedded_records().await?;
        self.clock().ask(self.store().as_ref()).await?;
        let stop = CancellationToken::new();
        let beat_stop = CancellationToken::new();
        let builds = registry::told(self.builds());
        let leases = Arc::new(Leases::enter(Arc::clone(self.store()), &self.service(), &builds).await?);
        let (app, told) = (self.clone(), self.clone());
        leases.tell(move || told.healths().told());
        app.healths().started();
        let beating = tokio::spawn({
            let (leases, stop) = (Arc::clone(&leases), beat_stop.clone());
            async move { leases.beat(stop).await }
        });
        let task =
            |health| Task { app: self.clone(), leases: Arc::clone(&leases), health, stop: stop.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(supervise(Name::of(relay::NAME), task(self.healths().of(RELAY)), Task::relay));
        for spec in self.specs() {
            let spec = spec.clone();
            let task = task(self.healths().of(&spec.name));
            tasks.spawn(supervise(Name::of_part(&spec), task, move |task| task.handler(spec.clone())));
        }
        if self.kernel().mirrors_dead_letters {
            tasks.spawn(supervise(Name::of(mirror::NAME), task(Arc::new(Health::new())), Task::mirror));
        }
        if let Some(within) = self.kernel().seals_within {
            let task = task(self.healths().of(SEALER));
            tasks.spawn(supervise(Name::of(sealer::NAME), task, move |task| task.sealer(within)));
        }
        let task = task(Arc::new(Health::new()));
        tasks.spawn(supervise(Name::of(housekeeping::NAME), task, Task::housekeeping));
        Ok(Running::new(app, Parts { stop, tasks, leases, beating, beat_stop }))
    }
}

/// How often a process looks whether it owns more than its share.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);

/// What each task is started with.
#[derive(Clone)]
struct Task {
    app: App,
    leases: Arc<Leases>,
    health: Arc<Health>,
    stop: CancellationToken,
}

impl Task {
    async fn relay(self) -> Result<(), Error> {
        self.as_owner(relay::NAME, None, |owned| relay::run(self.app.kernel(), self.health.clone(), owned))
            .await
    }

    async fn mirror(self) -> Result<(), Error> {
        self.as_owner(mirror::NAME, None, |owned| mirror::run(self.app.kernel(), owned)).await
    }

    async fn sealer(self, within: Duration) -> Result<(), Error> {
        self.as_owner(sealer::NAME, None, |owned| sealer::run(self.app.kernel(), within, &self.health, owned))
            .await
    }

    async fn housekeeping(self) -> Result<(), Error> {
        let lease = format!("{} of {}", housekeeping::NAME, self.app.service());
        self.as_owner(&lease, None, |owned| housekeeping::run(&self.app, owned)).await
    }

    async fn handler(self, spec: Spec) -> Result<(), Error> {
        let Some(build) = self.app.build_of(&spec.handler) else { return Ok(()) };
        let lease = format!("handler {}", spec.name);
        let runs = match registry::look(self.app.store().as_ref(), build).await? {
            Look::Current(claim) => claim.runs,
            Look::Outdated(found) => return self.stand_by(build, &lease, *found).await,
        };
        if spec.shard.count() > 1 {
            let part = Part { runs, family: format!("handler {}", spec.handler), of: spec.shard.count() };
            let work = |owned| self.handle_while_mine(&spec, &lease, Some(&part), owned);
            self.as_owner(&lease, Some(&part), work).await
        } else if spec.source.has_one_owner(self.app.kernel()) {
            self.as_owner(&lease, None, |owned| self.handle_while_mine(&spec, &lease, None, owned)).await
        } else {
            self.handle_while_mine(&spec, &lease, None, self.stop.child_token()).await
        }
    }

    /// Waits while another build runs the handler, and takes it over when no process of that build lives.
    async fn stand_by(&self, build: &Build, lease: &str, found: Registered) -> Result<(), Error> {
        self.leases.give_back(lease).await?;
        let mut deserted_since: Option<Instant> = None;
        let mut found = found;
        tracing::warn!(
            handler = %found.handler, generation = found.generation, service = %found.service,
            "another build runs this handler; standing by"
        );
        loop {
            self.health.set(State::Outdated { generation: found.generation, service: found.service.clone() });
            if self.leases.is_run_elsewhere(&found.runs()).await? {
                deserted_since = None;
            } else if deserted_since.get_or_insert_with(Instant::now).elapsed() >= DESERTED {
                return take_over::bring_up(&self.app, build, Comeback::Now).await;
            }
            if tokio::time::timeout(LOOK, self.stop.cancelled()).await.is_ok() {
                return Ok(());
            }
            match registry::look(self.app.store().as_ref(), build).await? {
                Look::Current(_) => return Ok(()),
                Look::Outdated(now) => found = *now,
            }
        }
    }

    /// Does the work once this process owns the lease; not at all when it is stopped first.
    async fn as_owner<R>(
        &self,
        lease: &str,
        part: Option<&Part>,
        work: impl FnOnce(CancellationToken) -> R,
    ) -> Result<(), Error>
    where
        R: Future<Output = Result<(), Error>>,
    {
        let standby = |owner: &str| self.health.set(State::Standby { owner: owner.to_owned() });
        match self.leases.acquire(lease, part, &self.stop, standby).await? {
            Some(owned) => work(owned).await,
            None => Ok(()),
        }
    }

    /// Handles events as long as this build is the one that runs the handler and, of what several processes share, as long as it
    /// is within this process's share.
    async fn handle_while_mine(
        &self,
        spec: &Spec,
        lease: &str,
        part: Option<&Part>,
        owned: CancellationToken,
    ) -> Result<(), Error> {
        let Some(build) = self.app.build_of(&spec.handler) else { return Ok(()) };
        let Look::Current(claim) = registry::look(self.app.store().as_ref(), build).await? else {
            return Ok(()); // it changed while this process waited for the lease: look again
        };
        let generation = claim.generation;
        self.health.idle();
        let processor = Processor::new(
            self.app.kernel(),
            spec,
            self.app.managed(),
            claim,
            self.health.clone(),
            owned.clone(),
        );
        let handling = processor.run(spec);
        tokio::pin!(handling);
        let done = loop {
            tokio::select! {
                done = &mut handling => break done,
                () = tokio::time::sleep(SHARE_INTERVAL) => {
                    let replaced = self.leases.generation_of(&spec.handler).is_some_and(|now| now != generation);
                    if replaced || part.is_some_and(|part| self.leases.is_to_give_up(lease, part)) {
                        owned.cancel(); // it ends after its batch
                        break handling.await;
                    }
                }
            }
        };
        if part.is_some() && !self.stop.is_cancelled() {
            self.leases.give_back(lease).await?;
        }
        done
    }
}

/// What a task is called, and whose checkpoint it moves.
struct Name {
    shown: String,
    handler: String,
    shard: u32,
}

impl Name {
    fn of(name: &str) -> Self {
        Self { shown: name.to_owned(), handler: name.to_owned(), shard: 0 }
    }

    fn of_part(spec: &Spec) -> Self {
        let (shown, handler) = (spec.name.clone(), spec.handler.clone());
        Self { shown, handler, shard: spec.shard.index() }
    }
}

/// Starts the task again and again until it is stopped.
async fn supervise<F, R>(name: Name, task: Task, start: F)
where
    F: Fn(Task) -> R + Send,
    R: Future<Output = Result<(), Error>> + Send,
{
    let Task { health, stop, .. } = &task;
    let shown = &name.shown;
    let mut failures = 0;
    while !stop.is_cancelled() {
        let started = Instant::now();
        let error = match AssertUnwindSafe(start(task.clone())).catch_unwind().await {
            Ok(Ok(())) => {
                failures = 0;
                continue; // stopped, or its lease went to another: wait for it again
            }
            Ok(Err(Error::Superseded { .. })) => {
                // Somebody moved its checkpoint: a rebuild that switched, or another owner. It goes on from there.
                tracing::info!(handler = %shown, "its checkpoint was moved; it goes on from there");
                let _ = tokio::time::timeout(BACKOFF.initial, stop.cancelled()).await;
                continue;
            }
            Ok(Err(error)) => {
                if let Some(halt) = Halt::of(&error) {
                    let reason = halt.reason(&name.handler, &error);
                    tracing::error!(handler = %shown, %reason, "halted until a person decides how it goes on");
                    health.halted(reason);
                    halt.until_over(task.app.kernel(), &name.handler, name.shard, stop).await;
                    continue;
                }
                error.to_string()
            }
            Err(panic) => format!("panicked: {}", panic_text(&*panic)),
        };
        failures = if started.elapsed() >= RECOVERED { 1 } else { failures + 1 };
        let delay = BACKOFF.delay_with_jitter(failures);
        let at = now().checked_add(delay).unwrap_or_else(|_| now());
        tracing::error!(handler = %shown, %error, restart_at = %at, "failed as a whole; it is started again");
        health.restarting(error, at);
        let _ = tokio::time::timeout(delay, stop.cancelled()).await;
    }
    health.set(State::Stopped);
}
