//! The second chance: events whose next attempt is due, and what is parked behind them, in order (G7, G9).

use crate::error::Error;
use crate::handler::Failure;
use crate::handler::reaction::Ready;
use crate::kernel::inside::inside;
use crate::kernel::origin::Origin;
use crate::processor::causal::Turn;
use crate::processor::delivery::{Content, Delivery, Known};
use crate::processor::fault::{blame, is_of_the_work, refuse_store_failures};
use crate::processor::letters::{self, Letter};
use crate::processor::limited::Called;
use crate::processor::{Processor, checkpoint};
use crate::statements as sql;
use crate::timer;
use factstream_core::params;
use factstream_core::store::StoreError;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use std::sync::Arc;

/// Due keys taken up at once.
const DUE_KEYS_MAX: usize = 64;

/// What one attempt at the head of a key came to.
enum Attempted {
    /// Handled; the next head, if events were parked behind it.
    Handled(Option<u64>),
    /// Another process took it up.
    Taken,
    Failed(Failure),
    /// A limit has it wait.
    Later,
}

impl Processor {
    /// Takes up every key that is due, several keys in parallel, one key in order.
    pub(crate) async fn drive_due(&self) -> Result<(), Error> {
        self.look_for_handled_causes().await?;
        self.begin_turn();
        loop {
            let now = self.kernel.clock.now();
            let longest_plan = now.checked_add(self.options.longest_plan()).unwrap_or(Timestamp::MAX);
            let params = params![&self.name, now, longest_plan, DUE_KEYS_MAX];
            let rows = self.store.query(sql::SELECT_DUE_KEYS, params).await?;
            let due = rows.iter().map(|row| row.get::<u64>("head_id")).collect::<Result<Vec<u64>, _>>()?;
            let found = due.len();
            let lanes = stream::iter(due).map(|head| Ok::<_, Error>(self.drain(head)));
            let drained: Vec<bool> =
                lanes.try_buffer_unordered(self.options.concurrency).try_collect().await?;
            if found < DUE_KEYS_MAX || drained.contains(&false) || self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Handles the head of a key and then what is parked behind it, until one fails or the key flows again. `false` when a limit has
    /// it wait.
    async fn drain(&self, head: u64) -> Result<bool, Error> {
        let mut next = Some(head);
        while let Some(id) = next {
            if self.stop.is_cancelled() {
                return Ok(true);
            }
            let rows = self.store.query(letters::SELECT_LETTER, params![id]).await?;
            let Some(row) = rows.first() else { return Ok(true) };
            let letter = Letter::of_row(row)?;
            if self.follow_alias(&letter).await? {
                return Ok(true);
            }
            let (reaction, service) = (self.reaction.as_ref(), Arc::clone(&self.kernel.service));
            let known = Known::As(&letter.identity);
            let mut delivery = Delivery::of_record(letter.record.clone(), known, reaction, &service);
            delivery.skip_tombstone(self.options.tombstones, reaction);
            delivery.refuse_if_not_mine();
            let late = match self.turn_of(&letter, &delivery).await? {
                Turn::Now => None,
                Turn::Late(cause) => Some(cause),
                Turn::NotYet => return Ok(true),
            };
            next = match self.attempt_letter(&letter, &delivery, late.as_deref()).await? {
                Attempted::Handled(next) => next,
                Attempted::Taken => None,
                Attempted::Later => return Ok(false),
                Attempted::Failed(failure) => {
                    self.attempt_failed(&letter, &delivery, &failure).await?;
                    None
                }
            };
        }
        Ok(true)
    }

    /// `late` is a cause that is not handled, although the wait for it is over.
    async fn attempt_letter(
        &self,
        letter: &Letter,
        delivery: &Delivery,
        late: Option<&str>,
    ) -> Result<Attempted, Error> {
        match self.call(delivery).await? {
            Called::Done => {}
            Called::Later => return Ok(Attempted::Later),
            Called::Failed(failure) => {
                refuse_store_failures(&failure)?;
                return Ok(Attempted::Failed(failure));
            }
        }
        let Some(pass) = self.admit(&[delivery]).await? else { return Ok(Attempted::Later) };
        Ok(match self.transact_letter_in_time(letter, delivery, late).await? {
            Attempted::Failed(failure) => Attempted::Failed(self.judge(pass, failure)),
            Attempted::Handled(next) => {
                self.answered(pass);
                Attempted::Handled(next)
            }
            other => other,
        })
    }

    async fn transact_letter_in_time(
        &self,
        letter: &Letter,
        delivery: &Delivery,
        late: Option<&str>,
    ) -> Result<Attempted, Error> {
        let limit = self.options.time_limit;
        match tokio::time::timeout(limit, self.transact_letter(letter, delivery, late)).await {
            Ok(Err(Error::Conflict(conflict))) => Ok(Attempted::Failed(Failure::transient(conflict))),
            Ok(Err(Error::Store(error @ StoreError::Contention(_)))) => {
                Ok(Attempted::Failed(Failure::transient(error)))
            }
            Ok(result) => result,
            Err(_) => {
                let text = format!("the handler took longer than {limit:?} and was rolled back");
                Ok(Attempted::Failed(Failure::transient(text)))
            }
        }
    }

    async fn transact_letter(
        &self,
        letter: &Letter,
        delivery: &Delivery,
        late: Option<&str>,
    ) -> Result<Attempted, Error> {
        let ready: Option<(_, &Origin)> = match &delivery.content {
            Content::Ready { event, origin } => Some((event, origin)),
            Content::Skipped => None,
            Content::Unreadable(reason) => {
                return Ok(Attempted::Failed(Failure::permanent(reason.to_string())));
            }
            Content::NotMine => {
                return Ok(Attempted::Failed(Failure::permanent("no handler names its event type")));
            }
        };
        let mut tx = self.begin().await?;
        self.stay_live(&mut tx).await?;
        if !letters::claim(&mut tx, letter).await? {
            return Ok(Attempted::Taken);
        }
        // One that was cancelled or set anew while it waited here is done with.
        let is_wanted = match delivery.timer() {
            Some(timer) => timer::take(&mut tx, &letter.handler, &[timer]).await? == [true],
            None => true,
        };
        if let Some((event, origin)) = ready.filter(|_| is_wanted) {
            let edited = letter.record.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
            let outcome = delivery.outcome.get();
            let ready = [Ready { event, origin, outcome, key: letter.key(), edited }];
            let reacted = inside(self.kernel.store_id(), self.reaction.react(&ready, &mut tx)).await;
            if let Err(failed) = blame(reacted, tx.take_fault())? {
                return Ok(Attempted::Failed(failed.failure));
            }
        }
        let next = letters::advance(&mut tx, letter, "handled").await?;
        if late.is_some() {
            self.count_late(&mut tx).await?;
        }
        match tx.commit().await {
            Ok(_) => {}
            Err(Error::Store(error)) if is_of_the_work(&error) => {
                return Ok(Attempted::Failed(Failure::transient(error)));
            }
            Err(error) => return Err(error),
        }
        self.health.handled(1);
        if let Some(cause) = late {
            tracing::warn!(
                handler = %self.name, key = %letter.key(), event_id = %letter.identity, %cause,
                "an event was handled before a cause of it, for its wait was over"
            );
        }
        if self.options.causal.is_some() {
            self.plan_retry(self.kernel.clock.now()); // for those that waited for it
        }
        Ok(Attempted::Handled(next))
    }

    /// Comes first in a transaction that has no mark of its own: no other build has taken over, and no rebuild switches before its
    /// end.
    pub(super) async fn stay_live(&self, tx: &mut crate::tx::Tx) -> Result<(), Error> {
        checkpoint::hold_tables(tx, self.own_tables()).await?;
        self.fence(tx).await.map(drop)
    }

    async fn attempt_failed(
        &self,
        letter: &Letter,
        delivery: &Delivery,
        failure: &Failure,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        self.stay_live(&mut tx).await?;
        if !letters::claim(&mut tx, letter).await? {
            return Ok(());
        }
        let held = letters::fail_again(&mut tx, letter, failure, &self.options.retry).await?;
        tx.commit().await?;
        self.tell_held(&held, delivery, failure);
        Ok(())
    }
}
