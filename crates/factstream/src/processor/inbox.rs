//! Which events a handler has handled, and how far a consumer has come: written in the transaction of the effects (G6).

use super::delivery::Delivery;
use super::engine::Processor;
use super::offsets::Reached;
use crate::error::Error;
use crate::statements as sql;
use crate::tasks::lock;
use crate::timer::{self, DueTimer};
use crate::tx::Tx;
use factstream_core::broker::Partition;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::now;
use jiff::Timestamp;
use std::collections::HashSet;
use std::sync::OnceLock;

/// Events marked by one statement, a power of two: those of a batch, as it is by default, fit.
const INBOX_EVENTS_PER_QUERY: usize = 512;

impl Processor {
    /// Marks what a slice has as handled, in the transaction of its effects: events in the inbox, timers by deleting them. Which of it is
    /// to be handled: events for the first time, timers that nobody has cancelled or set anew.
    pub(super) async fn take_fresh(&self, tx: &mut Tx, slice: &[&Delivery]) -> Result<Vec<bool>, Error> {
        let Some(timers) = timers_of(slice) else { return self.take_inbox(tx, slice).await };
        if is_on(Sabotage::TimerDeletedOutside) {
            let mut before = self.begin().await?;
            let there = timer::take(&mut before, self.name(), &timers).await?;
            before.commit().await?;
            return Ok(there);
        }
        let there = timer::take(tx, self.name(), &timers).await?;
        Ok(if is_on(Sabotage::TimerTokenOff) { vec![true; there.len()] } else { there })
    }

    /// As [`Processor::take_fresh`], for what becomes letters: timers stay, so that they can be cancelled there, too.
    pub(super) async fn hold_fresh(&self, tx: &mut Tx, slice: &[&Delivery]) -> Result<Vec<bool>, Error> {
        match timers_of(slice) {
            Some(timers) => timer::hold(tx, self.name(), &timers).await,
            None => self.take_inbox(tx, slice).await,
        }
    }

    /// Marks the events as handled; which of them are handled for the first time.
    async fn take_inbox(&self, tx: &mut Tx, slice: &[&Delivery]) -> Result<Vec<bool>, Error> {
        if !self.marks_inbox() {
            return Ok(vec![true; slice.len()]);
        }
        let mut fresh = Vec::with_capacity(slice.len());
        for part in slice.chunks(INBOX_EVENTS_PER_QUERY) {
            // Padded to a power of two, so that there are few statements to prepare.
            let last = part[part.len() - 1];
            let padded =
                part.iter().copied().chain(std::iter::repeat(last)).take(part.len().next_power_of_two());
            let mut params = params![&self.name, self.kernel.clock.now()];
            params.extend(padded.map(|delivery| delivery.identity().into()));
            let taken = tx.query(take_inbox(params.len() - 2), params).await?;
            if taken.len() == part.len() || is_on(Sabotage::InboxOff) {
                fresh.resize(fresh.len() + part.len(), true);
                continue;
            }
            let mut taken: HashSet<String> =
                taken.iter().map(|row| row.at::<String>(0)).collect::<Result<_, _>>()?;
            // Of an event that is twice in the slice, the first is the one that is handled.
            fresh.extend(part.iter().map(|delivery| taken.remove(delivery.identity())));
        }
        Ok(fresh)
    }

    /// Records how far a consumer has come, and what it passed over.
    pub(crate) async fn reach(&self, tx: &mut Tx, reached: Reached<'_>) -> Result<(), Error> {
        let Reached { offsets, newest, skipped } = reached;
        let (name, generation, cluster) = (self.name(), self.place().generation, lock(&self.cluster).clone());
        let of = |((at, next), newest): (&(Partition, i64), &Option<Timestamp>)| {
            params![name, &cluster, &at.topic, at.partition, *next, *newest, generation, now()]
        };
        let rows = offsets.iter().zip(newest).map(of).collect();
        let touched = tx.sql_many(sql::UPSERT_OFFSETS, rows).await?;
        if touched.contains(&0) && !is_on(Sabotage::GenerationFenceOff) {
            return Err(self.superseded());
        }
        if !skipped.is_empty() {
            let of = |(event_type, events): (&String, &u64)| params![name, event_type, *events];
            tx.sql_many(sql::COUNT_SKIPPED, skipped.iter().map(of).collect()).await?;
        }
        Ok(())
    }

    /// Records how far a consumer has come in a transaction of its own: after several lanes, or with nothing to handle.
    pub(crate) async fn reach_alone(&self, reached: Reached<'_>) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        self.fence(&mut tx).await?; // for partitions that it has no row of yet
        self.reach(&mut tx, reached).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The timers of a slice, where it is one of timers.
fn timers_of<'a>(slice: &[&'a Delivery]) -> Option<Vec<&'a DueTimer>> {
    let timers: Vec<&DueTimer> = slice.iter().map_while(|delivery| delivery.timer()).collect();
    (!timers.is_empty()).then_some(timers)
}

/// The statement that marks so many events, a power of two of them.
fn take_inbox(events: usize) -> &'static str {
    static STATEMENTS: [OnceLock<String>; INBOX_EVENTS_PER_QUERY.ilog2() as usize + 1] =
        [const { OnceLock::new() }; _];
    STATEMENTS[events.ilog2() as usize].get_or_init(|| {
        let rows: Vec<String> = (3..events + 3).map(|at| format!("($1, ${at}, $2)")).collect();
        sql::TAKE_INBOX.replace("{rows}", &rows.join(", "))
    })
}
