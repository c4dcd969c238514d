//! A batch in one transaction: mark as handled, handle, commit. When it fails, the failing event is isolated.
//!
//! Invariants: the marks (checkpoint or inbox) are written in the transaction of the effects (G6). Events of a blocked
//! key are parked, not handled (G7, G8). No transaction goes on over the switch of a rebuild (G10). A failure that is the
//! store's own is never an event's fault.

use crate::error::Error;
use crate::handler::Failure;
use crate::handler::reaction::{BatchFailure, Ready};
use crate::kernel::inside::inside;
use crate::processor::Processor;
use crate::processor::checkpoint::{self, move_params, move_statement};
use crate::processor::delivery::{Content, Delivery, unreadable};
use crate::processor::fault::{blame, is_contention, is_of_the_work};
use crate::processor::letters::{self, Disposition};
use crate::processor::limited::Called;
use crate::processor::mark::{CheckpointMark, Move, Progress};
use crate::processor::unit;
use crate::statements as sql;
use crate::timer;
use crate::tx::Tx;
use factstream_core::params;
use factstream_core::partition::partition_of;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::{Params, placeholders};
use factstream_core::store::StoreError;
use futures_util::future::try_join_all;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// How often a batch that met another writer's commit is run again before that is reported.
const CONFLICTS_MAX: u32 = 16;

/// And how often one of several events: then it goes on with half of them, for the fewer streams it writes to, the less is in its way.
const CONFLICTS_OF_SEVERAL_MAX: u32 = 4;
/// The longest pause before it is run again.
const CONFLICT_PAUSE_MAX_MILLIS: u64 = 50;

/// How long what a sabotage tears apart stays apart.
pub(crate) const SABOTAGE_TAKES: Duration = Duration::from_millis(200);

impl Processor {
    /// Handles a batch. With one lane its progress is recorded in the batch's own last transaction; with several, every lane
    /// marks its events in the inbox, and the caller records the progress afterwards. `false` when a limit has the rest wait.
    pub(crate) async fn handle_batch(
        &self,
        batch: &[Delivery],
        progress: Progress<'_>,
    ) -> Result<bool, Error> {
        let ordered = self.in_causal_order(batch);
        if self.has_lanes() {
            let mark = match progress {
                Progress::Checkpoint(checkpoint) => CheckpointMark::Stays(checkpoint.from),
                Progress::Timers(Some(at)) => CheckpointMark::Stays(at),
                Progress::Offsets(_) | Progress::Timers(None) => CheckpointMark::Fence,
            };
            for mut wave in self.waves(&ordered) {
                while !wave.is_empty() {
                    let (part, rest) = wave.split_at(self.of_known_keys(wave).await?);
                    let lanes = partition_lanes(part, self.options.concurrency);
                    let done = try_join_all(lanes.iter().map(|lane| self.isolate(lane, mark))).await?;
                    if done.contains(&false) {
                        return Ok(false);
                    }
                    wave = rest;
                }
            }
            return Ok(true);
        }
        let mark = match progress {
            Progress::Checkpoint(checkpoint) => CheckpointMark::Moves(checkpoint),
            Progress::Offsets(reached) => CheckpointMark::Reaches(reached),
            Progress::Timers(at) => at.map_or(CheckpointMark::Fence, CheckpointMark::Stays),
        };
        self.isolate(&ordered, mark).await
    }

    /// One transaction over the slice. The inner error is an event's failure; nothing of the slice has taken effect.
    pub(super) async fn attempt(
        &self,
        slice: &[&Delivery],
        mark: CheckpointMark<'_>,
    ) -> Result<Result<(), BatchFailure>, Error> {
        if let Err(failed) = self.call_all(slice).await? {
            return Ok(Err(failed));
        }
        self.know_aliases(slice).await?;
        let began = Instant::now();
        let mut met = BatchFailure::somewhere(Failure::transient("concurrent writers were faster each time"));
        let mut lost_on = BTreeSet::new();
        let conflicts_max = if slice.len() > 1 { CONFLICTS_OF_SEVERAL_MAX } else { CONFLICTS_MAX };
        for conflicts in 1..=conflicts_max {
            let turns = self.kernel.turns_of(&lost_on).await;
            let work = self.transact(slice, mark);
            match tokio::time::timeout(self.options.time_limit, work).await {
                Ok(Err(Error::Conflict(conflict))) => {
                    lost_on.insert(conflict.stream.clone());
                    met = BatchFailure::somewhere(Failure::transient(conflict));
                }
                Ok(Err(Error::Store(error @ StoreError::Contention(_)))) => {
                    met = BatchFailure::somewhere(Failure::transient(error));
                }
                Ok(Ok(Err(failed))) if is_contention(&failed.failure) => met = failed,
                Ok(result) => return result,
                Err(_) => {
                    let limit = self.options.time_limit;
                    let failure = Failure::transient(format!(
                        "the handler took longer than {limit:?} and was rolled back"
                    ));
                    return Ok(Err(BatchFailure::somewhere(failure)));
                }
            }
            tracing::debug!(handler = %self.name, failure = ?met.failure, "other work was in the way; handling the batch again");
            // Who waits for locks each time has waited long enough.
            if began.elapsed() > self.options.time_limit || conflicts == conflicts_max {
                break;
            }
            drop(turns);
            tokio::time::sleep(conflict_pause(conflicts)).await;
        }
        Ok(Err(met))
    }

    /// Asks the outside world, one event after the other, where that was not done yet and is not in vain.
    async fn call_all(&self, slice: &[&Delivery]) -> Result<Result<(), BatchFailure>, Error> {
        let wanting: Vec<(usize, &Delivery)> = slice
            .iter()
            .enumerate()
            .filter(|(_, delivery)| match &delivery.content {
                Content::Ready { event, .. } => {
                    self.reaction.calls(event) && delivery.outcome.get().is_none()
                }
                _ => false,
            })
            .map(|(at, delivery)| (at, *delivery))
            .collect();
        if wanting.is_empty() {
            return Ok(Ok(()));
        }
        let mut done = self.handled_or_blocked(&wanting).await?;
        done.extend(self.waiting_of(&wanting).await?);
        for (at, delivery) in wanting {
            if done.contains(delivery.identity()) || delivery.units().any(|unit| done.contains(&*unit)) {
                continue;
            }
            match self.call(delivery).await? {
                Called::Done => {}
                Called::Later => return Ok(Err(BatchFailure::later())),
                Called::Failed(failure) => return Ok(Err(BatchFailure::by_itself(at, failure))),
            }
        }
        Ok(Ok(()))
    }

    /// The event ids that are handled and the keys that are blocked: calling out for them would be in vain.
    pub(super) async fn handled_or_blocked(
        &self,
        wanting: &[(usize, &Delivery)],
    ) -> Result<HashSet<String>, Error> {
        let mut params = params![&self.name];
        params.extend(wanting.iter().map(|(_, delivery)| delivery.identity().into()));
        let list = placeholders(2, wanting.len());
        let handled =
            format!("SELECT event_id AS found FROM fs_inbox WHERE handler = $1 AND event_id IN ({list})");
        let mut rows = self.store.query(&handled, params).await?;
        let (blocked, params) = self.select_blocked(wanting.iter().map(|(_, delivery)| *delivery));
        rows.extend(self.store.query(&blocked, params).await?);
        Ok(rows.iter().map(|row| row.get("found")).collect::<Result<_, _>>()?)
    }

    async fn transact(
        &self,
        slice: &[&Delivery],
        mark: CheckpointMark<'_>,
    ) -> Result<Result<(), BatchFailure>, Error> {
        let mut tx = self.begin().await?;
        self.mark(&mut tx, mark).await?;
        let reacted = self.react(&mut tx, slice).await?;
        if let Err(failed) = blame(reacted, tx.take_fault())? {
            return Ok(Err(failed));
        }
        match tx.commit().await {
            Ok(_) => Ok(Ok(())),
            // Something of the slice breaks a rule that is checked at the commit.
            Err(Error::Store(error)) if is_of_the_work(&error) => {
                Ok(Err(BatchFailure::somewhere(Failure::transient(error))))
            }
            Err(error) => Err(error),
        }
    }

    /// Handles a slice within a transaction of the caller's.
    pub(crate) async fn react(
        &self,
        tx: &mut Tx,
        slice: &[&Delivery],
    ) -> Result<Result<(), BatchFailure>, Error> {
        let fresh = self.take_fresh(tx, slice).await?;
        let (mut blocked, mut any_blocked) = self.blocked_keys(tx, slice).await?;
        let mut causes = self.causes_of(tx, slice, &fresh).await?;
        let mut places = Vec::with_capacity(slice.len());
        let mut batch = Vec::with_capacity(slice.len());
        for (at, delivery) in slice.iter().enumerate().filter(|(at, _)| fresh[*at]) {
            let is_blocked = !blocked.is_empty() && delivery.units().any(|unit| blocked.contains(&*unit));
            if is_blocked && letters::park(tx, &self.name, delivery).await? {
                if let Some(timer) = delivery.timer() {
                    timer::put_back(tx, &self.name, timer).await?;
                }
                continue;
            }
            if self.wait_for_causes(tx, &causes, delivery).await? {
                blocked.insert(self.unit(delivery).into_owned());
                any_blocked = true;
                continue;
            }
            causes.handled(delivery);
            match &delivery.content {
                Content::Ready { event, origin } => {
                    places.push(at);
                    let (outcome, key) = (delivery.outcome.get(), delivery.key());
                    batch.push(Ready { event, origin, outcome, key, edited: None });
                }
                Content::Unreadable(_) => return Ok(Err(BatchFailure::by_itself(at, unreadable(delivery)))),
                Content::NotMine | Content::Skipped => {}
            }
        }
        let reacted = inside(self.kernel.store_id(), self.reaction.react(&batch, tx)).await;
        if any_blocked && reacted.is_ok() && self.options.causal.is_some() {
            let handled: Vec<&Delivery> = places.iter().map(|at| slice[*at]).collect();
            self.release(tx, &handled).await?;
        }
        Ok(reacted.map_err(|failed| BatchFailure { at: failed.at.map(|at| places[at]), ..failed }))
    }

    /// Comes first in a transaction: from here on no other owner, build or rebuild gets in between.
    pub(super) async fn mark(&self, tx: &mut Tx, mark: CheckpointMark<'_>) -> Result<(), Error> {
        let Move { from, to } = match mark {
            CheckpointMark::Fence => return Ok(()), // with the look for blocked keys
            CheckpointMark::Reaches(reached) => return self.reach(tx, reached).await,
            CheckpointMark::Stays(at) => {
                return checkpoint::stay(tx, &self.place, at, self.own_tables()).await;
            }
            CheckpointMark::Moves(move_) => move_,
        };
        if is_on(Sabotage::CheckpointOutside) {
            checkpoint::move_alone(self.store.as_ref(), &self.place, from, to).await?;
            tokio::time::sleep(SABOTAGE_TAKES).await;
            return Ok(());
        }
        match tx.sql(move_statement(), move_params(&self.place, from, to)).await? {
            0 => Err(self.superseded()),
            _ => Ok(()),
        }
    }

    /// Which keys of a slice are blocked, and whether any key is. A consumer's transaction is fenced here: it fails when another build has taken over.
    async fn blocked_keys(&self, tx: &mut Tx, slice: &[&Delivery]) -> Result<(HashSet<String>, bool), Error> {
        let any_blocked = match self.has_checkpoint {
            true => {
                let any = "SELECT 1 FROM fs_blocked_keys WHERE handler = $1 LIMIT 1";
                !tx.query(any, params![&self.name]).await?.is_empty()
            }
            false => self.fence(tx).await?,
        };
        if slice.is_empty() || !any_blocked || is_on(Sabotage::NoParking) {
            return Ok((HashSet::new(), any_blocked)); // a list of no keys is not SQL: `IN ()`
        }
        let (sql, params) = self.select_blocked(slice.iter().copied());
        let rows = tx.query(&sql, params).await?;
        Ok((rows.iter().map(|row| row.get("found")).collect::<Result<_, _>>()?, any_blocked))
    }

    /// Asks which of the units are blocked that these may have to wait behind.
    fn select_blocked<'d>(&self, deliveries: impl Iterator<Item = &'d Delivery>) -> (String, Params) {
        let units: HashSet<Cow<'_, str>> = deliveries.flat_map(Delivery::units).collect();
        let list = placeholders(2, units.len());
        let sql = format!(
            "SELECT event_key AS found FROM fs_blocked_keys WHERE handler = $1 AND event_key IN ({list})"
        );
        let mut params = params![&self.name];
        params.extend(units.into_iter().map(|unit| unit.into_owned().into()));
        (sql, params)
    }

    /// Makes sure that this generation is the live one; whether any key of the handler is blocked.
    pub(crate) async fn fence(&self, tx: &mut Tx) -> Result<bool, Error> {
        let rows = tx.query(sql::SELECT_FENCE, params![&self.name]).await?;
        let row = rows.first().ok_or_else(|| self.superseded())?;
        let is_live = row.get::<i64>("generation")? == self.place.generation;
        if !is_live && !is_on(Sabotage::GenerationFenceOff) {
            return Err(self.superseded());
        }
        Ok(row.get("blocked")?)
    }

    /// Counts and logs a failed attempt, and remembers when the next one is due.
    pub(crate) fn tell_held(&self, held: &Disposition, delivery: &Delivery, failure: &Failure) {
        let (handler, key, event_id) = (&self.name, unit::shown(delivery.key(), ""), delivery.identity());
        let event_type = delivery.event_type.as_deref().unwrap_or("unknown");
        let correlation_id = delivery.correlation_id().unwrap_or_default();
        match held {
            Disposition::Retrying { at, attempts } => {
                tracing::warn!(
                    %handler, %key, %event_id, %event_type, %correlation_id, attempt = attempts, ?failure, retry_at = %at,
                    "an event failed; it is tried again"
                );
                self.plan_retry(*at);
            }
            Disposition::Dead { attempts } => {
                tracing::error!(
                    %handler, %key, %event_id, %event_type, %correlation_id, attempt = attempts, ?failure,
                    "an event is a dead letter; its key is blocked"
                )
            }
            Disposition::Parked => return,
        }
        self.health.attempt_failed();
    }
}

/// None after the first conflict, then one of a random length, so that two who were in each other's way are not so again.
fn conflict_pause(conflicts: u32) -> Duration {
    match conflicts {
        0 | 1 => Duration::ZERO,
        _ => {
            let most = (1_u64 << conflicts.min(10)).min(CONFLICT_PAUSE_MAX_MILLIS);
            Duration::from_millis(rand::random_range(0..=most))
        }
    }
}

/// The batch in lanes: one key is in one lane, in order.
fn partition_lanes<'d>(batch: &[&'d Delivery], lanes: usize) -> Vec<Vec<&'d Delivery>> {
    let mut by_lane: Vec<Vec<&Delivery>> = (0..lanes).map(|_| Vec::new()).collect();
    for delivery in batch {
        let lane = partition_of(delivery.key().as_bytes(), u32::try_from(lanes).unwrap_or(u32::MAX));
        by_lane[lane as usize].push(delivery);
    }
    by_lane.retain(|lane| !lane.is_empty());
    by_lane
}
