//! Causal order (G19): an event waits until those of its causes are handled that its handler takes, too, or until the wait is over.
//!
//! A cause is handled when its mark is in the inbox and no letter of it waits. The check is made in the transaction of the effects, or before
//! it: what is handled stays so. An event that has to wait is the head of its blocked key (within its topic), as one that failed would be; whoever handles the
//! cause has it looked at again. Two members may miss each other, so every look at what is due also asks for causes that are handled.

use super::Processor;
use super::delivery::{Content, Delivery};
use super::letters::{self, Letter};
use super::unit;
use crate::error::Error;
use crate::handler::{Causal, Late};
use crate::statements as sql;
use crate::tasks::lock;
use crate::tx::Tx;
use factstream_core::causes::Cause;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::Row;
use jiff::{SignedDuration, Timestamp};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Events that one statement names, a power of two.
const EVENTS_PER_QUERY: usize = 256;
/// How often a batch is gone through to bring causes before their effects. What is left then waits among the letters.
const PASSES_MAX: usize = 16;
/// A look for handled causes takes at most one part in so many of a processor's time.
const SHARE_OF_LOOKS: u32 = 20;
/// The shortest time from one look to the next.
const LOOK: Duration = Duration::from_millis(250);

/// Whether it is a letter's turn.
pub(super) enum Turn {
    Now,
    /// Its wait is over, and this cause is not handled.
    Late(String),
    NotYet,
}

/// What is known of the causes of a slice.
#[derive(Default)]
pub(super) struct Causes {
    /// Awaited, and not handled.
    open: HashSet<String>,
}

impl Causes {
    pub(super) fn handled(&mut self, delivery: &Delivery) {
        if !self.open.is_empty() {
            self.open.remove(delivery.identity());
        }
    }
}

impl Processor {
    /// What is held up when the event is.
    pub(super) fn unit<'d>(&self, delivery: &'d Delivery) -> Cow<'d, str> {
        match self.options.causal {
            Some(_) => unit::within(delivery.topic(), delivery.key()).into(),
            None => delivery.key().into(),
        }
    }

    /// The causes that an event has to wait for: of a type and topic that this handler takes, and so young that the inbox knows of them.
    fn awaited<'d>(&self, delivery: &'d Delivery) -> &'d [String] {
        let Some(causal) = self.options.causal else { return &[] };
        if delivery.causes.is_empty() || is_on(Sabotage::CausesIgnored) {
            return &[];
        }
        delivery.awaited.get_or_init(|| {
            let is_awaited = |cause: &Cause| {
                cause.id != delivery.identity()
                    && self.reaction.handles(&cause.event_type)
                    && !self.reaction.drops(&cause.event_type)
                    && self.claim.topics.contains(&cause.topic)
                    && self.is_known(causal, &cause.id)
            };
            match &delivery.content {
                Content::Ready { .. } => {
                    delivery.causes.iter().filter(is_awaited).map(|cause| cause.id).collect()
                }
                _ => Vec::new(),
            }
        })
    }

    /// Whether the inbox still has the mark of an event, had it been handled. Of an id without a time that is not known: it is waited for.
    fn is_known(&self, causal: Causal, id: &str) -> bool {
        let recorded = Uuid::try_parse(id).ok().and_then(|id| id.get_timestamp());
        let Some((seconds, _)) = recorded.map(|recorded| recorded.to_unix()) else { return true };
        let now = self.kernel.clock.now().as_second();
        now.saturating_sub_unsigned(seconds) < i64::try_from(causal.known.as_secs()).unwrap_or(i64::MAX)
    }

    /// A batch with causes before their effects, as far as both are in it. The order of each key in its topic stays as it is.
    pub(super) fn in_causal_order<'d>(&self, batch: &'d [Delivery]) -> Vec<&'d Delivery> {
        let mut rest: Vec<&Delivery> = batch.iter().collect();
        if batch.iter().all(|delivery| self.awaited(delivery).is_empty()) {
            return rest;
        }
        let mut open: HashMap<&str, usize> = HashMap::new();
        for delivery in batch {
            *open.entry(delivery.identity()).or_default() += 1;
        }
        let mut ordered = Vec::with_capacity(batch.len());
        for _ in 0..PASSES_MAX {
            let mut behind: HashSet<(&str, &str)> = HashSet::new();
            let before = rest.len();
            rest.retain(|delivery| {
                let unit = (delivery.topic(), delivery.key());
                let waits = behind.contains(&unit)
                    || self.awaited(delivery).iter().any(|cause| open.contains_key(cause.as_str()));
                if waits {
                    behind.insert(unit);
                } else {
                    open.remove(delivery.identity());
                    ordered.push(*delivery);
                }
                waits
            });
            if rest.is_empty() || rest.len() == before {
                break;
            }
        }
        ordered.extend(rest);
        ordered
    }

    /// A batch in parts one after the other, so that no event is in the same part as a cause of it: what several lanes handle at once.
    pub(super) fn waves<'s, 'd>(&self, mut batch: &'s [&'d Delivery]) -> Vec<&'s [&'d Delivery]> {
        let mut waves = Vec::new();
        while let Some(end) = self.first_effect(batch) {
            let (wave, rest) = batch.split_at(end);
            waves.push(wave);
            batch = rest;
        }
        waves.push(batch);
        waves
    }

    /// The first event with a cause before it.
    pub(super) fn first_effect(&self, slice: &[&Delivery]) -> Option<usize> {
        self.options.causal?;
        let mut before = HashSet::new();
        slice.iter().position(|delivery| {
            let is_effect = self.awaited(delivery).iter().any(|cause| before.contains(cause.as_str()));
            before.insert(delivery.identity());
            is_effect
        })
    }

    /// The causes of a slice that are not handled; its own events are not, whatever their marks say, which are written already.
    pub(super) async fn causes_of(
        &self,
        tx: &mut Tx,
        slice: &[&Delivery],
        fresh: &[bool],
    ) -> Result<Causes, Error> {
        let of_fresh = || slice.iter().zip(fresh).filter(|(_, fresh)| **fresh).map(|(delivery, _)| *delivery);
        let mut open: HashSet<String> =
            of_fresh().flat_map(|delivery| self.awaited(delivery)).cloned().collect();
        if open.is_empty() {
            return Ok(Causes::default());
        }
        let own: HashSet<&str> = of_fresh().map(Delivery::identity).collect();
        let others: Vec<&str> = open.iter().map(String::as_str).filter(|id| !own.contains(id)).collect();
        let mut handled = Vec::new();
        for part in others.chunks(EVENTS_PER_QUERY) {
            let (sql, params) = sql::with_ids(sql::SELECT_HANDLED, params![&self.name], part);
            handled.extend(tx.query(&sql, params).await?);
        }
        remove_all(&mut open, &handled)?;
        Ok(Causes { open })
    }

    /// Has an event wait, if a cause of it is not handled, or if it could not be called for one when its call was due.
    pub(super) async fn wait_for_causes(
        &self,
        tx: &mut Tx,
        causes: &Causes,
        delivery: &Delivery,
    ) -> Result<bool, Error> {
        let awaited = self.awaited(delivery);
        let (Some(causal), Some(newest)) = (self.options.causal, awaited.first()) else { return Ok(false) };
        let now = self.kernel.clock.now();
        match awaited.iter().find(|cause| causes.open.contains(*cause)) {
            Some(cause) => {
                let until = after(now, causal.wait);
                letters::wait(tx, &self.name, &self.unit(delivery), delivery, cause, until).await?;
            }
            None if self.is_uncalled(delivery) => {
                letters::wait(tx, &self.name, &self.unit(delivery), delivery, newest, now).await?;
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    fn is_uncalled(&self, delivery: &Delivery) -> bool {
        match &delivery.content {
            Content::Ready { event, .. } => self.reaction.calls(event) && delivery.outcome.get().is_none(),
            _ => false,
        }
    }

    /// Events that nobody is called for yet: a cause of each is not handled. By their identities.
    pub(super) async fn waiting_of(&self, wanting: &[(usize, &Delivery)]) -> Result<HashSet<String>, Error> {
        let mut waiting = HashSet::new();
        for (_, delivery) in wanting {
            if self.open_cause(delivery).await?.is_some() {
                waiting.insert(delivery.identity().to_owned());
            }
        }
        Ok(waiting)
    }

    /// A cause of an event that is not handled.
    async fn open_cause(&self, delivery: &Delivery) -> Result<Option<String>, Error> {
        let awaited = self.awaited(delivery);
        if awaited.is_empty() {
            return Ok(None);
        }
        let ids: Vec<&str> = awaited.iter().map(String::as_str).collect();
        let (sql, params) = sql::with_ids(sql::SELECT_HANDLED, params![&self.name], &ids);
        let mut open = awaited.iter().cloned().collect();
        remove_all(&mut open, &self.store.query(&sql, params).await?)?;
        Ok(awaited.iter().find(|cause| open.contains(*cause)).cloned())
    }

    /// Has those looked at again that wait for one of these events, which the transaction handles.
    pub(super) async fn release(&self, tx: &mut Tx, handled: &[&Delivery]) -> Result<(), Error> {
        let now = self.kernel.clock.now();
        for part in handled.chunks(EVENTS_PER_QUERY) {
            let ids: Vec<&str> = part.iter().map(|delivery| delivery.identity()).collect();
            let (sql, params) = sql::with_ids(sql::RELEASE_WAITING, params![&self.name, now], &ids);
            if tx.sql(&sql, params).await? > 0 {
                self.plan_retry(now);
            }
        }
        Ok(())
    }

    /// Has those looked at again whose cause was handled meanwhile: by a member that did not see them wait.
    pub(super) async fn look_for_handled_causes(&self) -> Result<(), Error> {
        if self.options.causal.is_none() || lock(&self.next_look).is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            let rows =
                self.store.query(sql::SELECT_RELEASABLE, params![&self.name, EVENTS_PER_QUERY]).await?;
            let causes: Vec<String> = rows.iter().map(|row| row.get("cause")).collect::<Result<_, _>>()?;
            if !causes.is_empty() {
                let mut tx = self.begin().await?;
                let ids: Vec<&str> = causes.iter().map(String::as_str).collect();
                let now = params![&self.name, self.kernel.clock.now()];
                let (sql, params) = sql::with_ids(sql::RELEASE_WAITING, now, &ids);
                tx.sql(&sql, params).await?;
                tx.commit().await?;
            }
            if causes.len() < EVENTS_PER_QUERY || self.stop.is_cancelled() {
                break;
            }
        }
        let took = began.elapsed();
        *lock(&self.next_look) = Some(Instant::now() + LOOK.max(took * SHARE_OF_LOOKS));
        Ok(())
    }

    /// What waits for causes as this build would not have it wait is due: any of it without causal order; with it, what waits in a queue of
    /// all topics.
    pub(super) async fn release_others(&self) -> Result<(), Error> {
        let others = match self.options.causal {
            Some(_) => "handler = $1 AND waits_for IS NOT NULL AND event_key NOT LIKE $2",
            None => "handler = $1 AND waits_for IS NOT NULL AND event_key <> $2",
        };
        let mut params = params![&self.name, unit::WITHIN_ANY];
        let found = format!("SELECT 1 FROM fs_blocked_keys WHERE {others} LIMIT 1");
        if self.store.query(&found, params.clone()).await?.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        self.fence(&mut tx).await?;
        let release = format!(
            "UPDATE fs_blocked_keys SET next_attempt_at = $3, waits_for = NULL WHERE {others} AND next_attempt_at IS NOT NULL"
        );
        params.push(self.kernel.clock.now().into());
        tx.sql(&release, params).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether the head of a key may be handled. If not, that is recorded.
    pub(super) async fn turn_of(&self, letter: &Letter, delivery: &Delivery) -> Result<Turn, Error> {
        let Some(causal) = self.options.causal else { return Ok(Turn::Now) };
        let Some(cause) = self.open_cause(delivery).await? else { return Ok(Turn::Now) };
        let until = after(letter.created_at, causal.wait);
        let is_over = self.kernel.clock.now() >= until;
        // Who redrives a dead letter wants it handled.
        if is_over && (causal.late == Late::Handle || letter.died) {
            return Ok(Turn::Late(cause));
        }
        let mut tx = self.begin().await?;
        self.stay_live(&mut tx).await?;
        if letters::claim(&mut tx, letter).await? {
            match is_over {
                true => {
                    letters::die_late(&mut tx, letter, &late_reason(causal, &cause)).await?;
                    self.count_late(&mut tx).await?;
                }
                false if letter.is_by_key_alone() => {
                    letters::split(&mut tx, letter).await?;
                    self.plan_retry(self.kernel.clock.now());
                }
                false => letters::wait_on(&mut tx, letter, &cause, until).await?,
            }
            tx.commit().await?;
            if is_over {
                tracing::error!(
                    handler = %self.name, key = %letter.key(), event_id = %letter.identity, %cause,
                    "a cause of an event was not handled in time; the event is a dead letter"
                );
            }
        }
        Ok(Turn::NotYet)
    }

    /// Counts an event whose wait was over before its causes were handled.
    pub(super) async fn count_late(&self, tx: &mut Tx) -> Result<(), Error> {
        let sql = "UPDATE fs_handlers SET late = late + 1 WHERE handler = $1";
        tx.sql(sql, params![&self.name]).await?;
        Ok(())
    }
}

fn late_reason(causal: Causal, cause: &str) -> String {
    format!(
        "its cause {cause} was not handled within {:?}; redrive the event to have it handled all the same",
        causal.wait
    )
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn remove_all(open: &mut HashSet<String>, handled: &[Row]) -> Result<(), Error> {
    for row in handled {
        open.remove(&row.get::<String>("event_id")?);
    }
    Ok(())
}
