//! The run of a processor: due retries first, then the next batch, and what is recorded of it.
//!
//! Invariant: nothing is in flight between two batches. That makes revoking a partition, pausing and stopping trivial:
//! they happen between batches.

use super::batch::SABOTAGE_TAKES;
use super::checkpoint;
use super::engine::Processor;
use super::mark::{Move, Progress};
use super::offsets::Reached;
use super::source::{Batch, End, Opening, Reader};
use super::spec::Spec;
use crate::error::Error;
use crate::handler::reaction::Begins;
use crate::health::State;
use crate::tasks::lock;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an idle processor waits for news before it looks for due retries again. News wakes it at once.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// How often the checkpoint of a projection that is given nothing but other handlers' events is written.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);
/// With this many keys waiting for a retry, intake pauses: something is wrong with more than an event (G13).
const RETRYING_KEYS_MAX: u64 = 1_000;

impl Processor {
    /// Runs until `stop`: due retries first, then the next batch.
    pub(crate) async fn run(&self, spec: &Spec) -> Result<(), Error> {
        let mut checkpoint = match self.has_checkpoint {
            true => Some(checkpoint::begin(self.store.as_ref(), &self.place, &spec.name).await?),
            false => None,
        };
        if self.reaction.begins() {
            self.begin_reaction().await?;
        }
        if !self.has_checkpoint {
            self.release_others().await?;
        }
        let mut reader = self.open(spec, checkpoint.unwrap_or(0)).await?;
        self.kernel.progress.reached(&spec.name, checkpoint.unwrap_or(0));
        let mut looked_at_retries: Option<Instant> = None;
        let mut wrote_checkpoint = Instant::now();
        while !self.stop.is_cancelled() {
            let wait_at_most = |wait| self.kernel.clock.wait_at_most(wait);
            if looked_at_retries.is_none_or(|at| at.elapsed() >= wait_at_most(IDLE_WAIT))
                || self.retry_is_due()
            {
                self.next_retry.store(i64::MAX, Ordering::Relaxed);
                self.kernel.clock.fresh(self.store.as_ref()).await?;
                self.drive_due().await?;
                looked_at_retries = Some(Instant::now());
                self.pause_while_too_many_wait().await?;
            }
            let events_max = self.batch_events_max();
            let next = reader.next(events_max, self.wait());
            let batch = tokio::select! {
                () = self.stop.cancelled() => break,
                batch = next => batch?,
            };
            if batch.as_ref().is_none_or(|batch| batch.deliveries.is_empty())
                && let (Some(at), Some(read_to)) = (&mut checkpoint, reader.read_to())
                && *at < read_to
                && wrote_checkpoint.elapsed() >= wait_at_most(IDLE_CHECKPOINT)
            {
                checkpoint::move_alone(self.store.as_ref(), &self.place, *at, read_to).await?;
                (*at, wrote_checkpoint) = (read_to, Instant::now());
            }
            let Some(batch) = batch else {
                self.tell_at_work(State::Idle);
                continue;
            };
            self.tell_at_work(State::Running);
            if is_on(Sabotage::AckBeforeCommit) {
                reader.commit(&batch.end).await?;
                tokio::time::sleep(SABOTAGE_TAKES).await;
            }
            if !self.take(&batch, &mut checkpoint).await? {
                reader.give_back(batch).await?;
                continue;
            }
            reader.commit(&batch.end).await?;
            self.health.handled(batch.deliveries.len() as u64);
            self.health.skipped(batch.skipped);
            if let End::Position(position) = batch.end {
                self.kernel.progress.reached(&spec.name, position);
            }
        }
        if let (Some(at), Some(read_to)) = (checkpoint, reader.read_to())
            && at < read_to
        {
            checkpoint::move_alone(self.store.as_ref(), &self.place, at, read_to).await?;
        }
        Ok(())
    }

    /// Handles a batch and records how far it reaches. `false` when a limit has the rest wait: only a consumer has limits.
    async fn take(&self, batch: &Batch, checkpoint: &mut Option<Position>) -> Result<bool, Error> {
        self.begin_turn();
        let deliveries = &batch.deliveries;
        match &batch.end {
            End::Offsets(offsets) => {
                let reached = Reached { offsets, newest: &batch.newest, skipped: &batch.skipped_types };
                if !deliveries.is_empty()
                    && !self.handle_batch(deliveries, Progress::Offsets(reached)).await?
                {
                    return Ok(false);
                }
                if deliveries.is_empty() || self.has_lanes() {
                    self.reach_alone(reached).await?;
                }
            }
            End::Timers => drop(self.handle_batch(deliveries, Progress::Timers(*checkpoint)).await?),
            End::Position(_) if deliveries.is_empty() => {} // written now and then, when nothing else is
            End::Position(to) => {
                let from = checkpoint.unwrap_or(0);
                self.handle_batch(deliveries, Progress::Checkpoint(Move { from, to: *to })).await?;
                if self.has_lanes() {
                    checkpoint::move_alone(self.store.as_ref(), &self.place, from, *to).await?;
                }
                *checkpoint = Some(*to);
            }
        }
        Ok(true)
    }

    /// Has the reaction make ready what it needs, as the live build.
    async fn begin_reaction(&self) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx).await?;
        self.reaction.begin(Begins::ToRun, &mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn open(&self, spec: &Spec, at: Position) -> Result<Box<dyn Reader>, Error> {
        let opening = Opening {
            kernel: &self.kernel,
            handler: &self.name,
            claim: &self.claim,
            shard: spec.shard,
            options: &self.options,
            reaction: &self.reaction,
            gives_back: self.gate.is_some(),
            at,
        };
        let reader = spec.source.open(opening).await?;
        reader.cluster().unwrap_or_default().clone_into(&mut lock(&self.cluster));
        Ok(reader)
    }

    fn retry_is_due(&self) -> bool {
        self.kernel.clock.now().as_microsecond() >= self.next_retry.load(Ordering::Relaxed)
    }

    /// How long to wait for news: until the next retry, but not longer than [`IDLE_WAIT`].
    fn wait(&self) -> Duration {
        let now = self.kernel.clock.now().as_microsecond();
        let until = self.next_retry.load(Ordering::Relaxed).saturating_sub(now);
        self.kernel
            .clock
            .wait_at_most(IDLE_WAIT.min(Duration::from_micros(u64::try_from(until).unwrap_or(0))))
    }

    async fn pause_while_too_many_wait(&self) -> Result<(), Error> {
        let sql = "SELECT count(*) AS retrying FROM fs_blocked_keys WHERE handler = $1 AND next_attempt_at IS NOT NULL \
                   AND waits_for IS NULL";
        loop {
            let rows = self.store.query(sql, params![&self.name]).await?;
            let retrying = rows.first().map(|row| row.get::<u64>("retrying")).transpose()?.unwrap_or(0);
            if retrying < RETRYING_KEYS_MAX || self.stop.is_cancelled() {
                return Ok(());
            }
            self.health.paused(format!(
                "{retrying} keys wait for a retry; no new events are taken in until that is less"
            ));
            tokio::time::sleep(self.wait()).await;
            self.next_retry.store(i64::MAX, Ordering::Relaxed);
            self.drive_due().await?;
        }
    }
}
