//! The failing event isolated: a slice is handled in pieces, and what fails is held back alone.
//!
//! Invariants: the marks move along piece by piece, so a crash between two pieces handles nothing twice. A run of failures of any
//! length costs a transaction or two for each, and no stack.

use crate::error::Error;
use crate::handler::Failure;
use crate::processor::delivery::{Content, Delivery, unreadable};
use crate::processor::fault::refuse_store_failures;
use crate::processor::mark::CheckpointMark;
use crate::processor::{Processor, letters};
use factstream_core::envelope::Position;
use std::collections::HashSet;

/// Unreadable events that one transaction holds back.
const HELD_AT_ONCE: usize = 500;

impl Processor {
    /// Handles a slice piece by piece: all of it at once, and after a failure what is before the failing event, that event
    /// alone, and then pieces that grow again. Unreadable events are held without an attempt, many at once. `false` when a limit has
    /// the rest wait.
    pub(super) async fn isolate(&self, slice: &[&Delivery], mark: CheckpointMark<'_>) -> Result<bool, Error> {
        let (mut at, mut rest, mut pace) = (0, mark, Pace::new(slice.len()));
        // Of an event that failed by itself, the failure, until its turn comes.
        let mut failed: Option<(usize, Failure)> = None;
        while at < slice.len() {
            let piece =
                self.next_piece(&slice[at..], pace.events, failed.as_ref().map(|(place, _)| place - at));
            let end = at + piece.len();
            let is_last = end == slice.len();
            let (part, after) =
                if is_last { (rest, rest) } else { rest.cut(reached(piece[piece.len() - 1], slice[end])) };
            let known = failed.take_if(|(place, _)| *place == at);
            if let Some((_, failure)) = known {
                self.hold(&piece[..1], |_| &failure, part).await?;
                pace.succeeded();
            } else if is_unreadable(piece[0]) {
                let reasons: Vec<Failure> = piece.iter().map(|delivery| unreadable(delivery)).collect();
                self.hold(piece, |place| &reasons[place], part).await?;
            } else {
                match self.attempt_within_limits(piece, part).await? {
                    Ok(()) => pace.succeeded(),
                    Err(met) if met.later => return Ok(false),
                    Err(met) if piece.len() == 1 => {
                        self.hold(piece, |_| &met.failure, part).await?;
                        pace.failed_alone();
                    }
                    Err(met) => {
                        pace.failed_at(met.at, piece.len());
                        if let (Some(place), true) = (met.at, met.by_itself) {
                            failed = Some((at + place, met.failure));
                        }
                        continue;
                    }
                }
            }
            (at, rest) = (end, after);
        }
        Ok(true)
    }

    /// The events to handle next, in one transaction: at most so many, unreadable ones and others never together, none beyond
    /// one that is known to fail, and with calls to the outside world no key twice and no cause of an event, for a call waits until
    /// what its key did before, and what it waits for, is committed.
    fn next_piece<'a, 'b>(
        &self,
        rest: &'a [&'b Delivery],
        events_max: usize,
        failing: Option<usize>,
    ) -> &'a [&'b Delivery] {
        let unreadable = is_unreadable(rest[0]);
        let same = rest.iter().take_while(|delivery| is_unreadable(delivery) == unreadable).count();
        let most = match (unreadable, failing) {
            (true, _) => HELD_AT_ONCE,
            (false, _) if self.gate.is_some() => 1,
            (false, Some(0)) => 1,
            (false, Some(place)) => events_max.min(place),
            (false, None) => events_max,
        };
        let piece = &rest[..same.min(most)];
        if unreadable || !self.calls(piece) {
            return piece;
        }
        let piece = &piece[..first_repeated_key(piece).unwrap_or(piece.len())];
        &piece[..self.first_effect(piece).unwrap_or(piece.len())]
    }

    pub(super) fn calls(&self, slice: &[&Delivery]) -> bool {
        slice.iter().any(|delivery| match &delivery.content {
            Content::Ready { event, .. } => self.reaction.calls(event),
            _ => false,
        })
    }

    /// Holds failing events back, so that the source can go on: a retry is planned, or each is a dead letter.
    async fn hold<'a>(
        &self,
        deliveries: &[&Delivery],
        failure_of: impl Fn(usize) -> &'a Failure,
        mark: CheckpointMark<'_>,
    ) -> Result<(), Error> {
        for at in 0..deliveries.len() {
            refuse_store_failures(failure_of(at))?;
        }
        self.know_aliases(deliveries).await?;
        let mut tx = self.begin().await?;
        self.mark(&mut tx, mark).await?;
        let fresh = self.hold_fresh(&mut tx, deliveries).await?;
        if !self.has_checkpoint {
            self.fence(&mut tx).await?;
        }
        let mut held = Vec::with_capacity(deliveries.len());
        let retry = &self.options.retry;
        for (at, delivery) in deliveries.iter().enumerate().filter(|(at, _)| fresh[*at]) {
            let failure = failure_of(at);
            held.push((
                at,
                letters::hold(&mut tx, &self.name, &self.unit(delivery), delivery, failure, retry).await?,
            ));
        }
        tx.commit().await?;
        for (at, held) in held {
            self.tell_held(&held, deliveries[at], failure_of(at));
        }
        Ok(())
    }
}

/// How many events the next transaction takes: all at first, one where something fails, and then twice as many with each
/// success, so that a long run of failures costs a transaction or two for each and nothing more.
struct Pace {
    events: usize,
    /// Where the next failure is expected after this many events.
    failing_next: bool,
}

impl Pace {
    fn new(events: usize) -> Self {
        Self { events, failing_next: false }
    }

    fn succeeded(&mut self) {
        let failing_next = std::mem::take(&mut self.failing_next);
        self.events = if failing_next { 1 } else { self.events.saturating_mul(2) };
    }

    fn failed_alone(&mut self) {
        (self.events, self.failing_next) = (1, false);
    }

    /// An event of a piece failed; in the middle when it is not known which one.
    fn failed_at(&mut self, at: Option<usize>, piece_len: usize) {
        match at {
            Some(0) => self.failed_alone(),
            Some(at) => (self.events, self.failing_next) = (at, true),
            None => (self.events, self.failing_next) = (piece_len / 2, false),
        }
    }
}

/// How far the log is handled after a delivery, with another one to come: not as far as its event, if that has further deliveries.
fn reached(last: &Delivery, next: &Delivery) -> Option<Position> {
    match (last.position, next.position) {
        (Some(last), Some(next)) if last == next => Some(last.saturating_sub(1)),
        (last, _) => last,
    }
}

fn is_unreadable(delivery: &Delivery) -> bool {
    matches!(delivery.content, Content::Unreadable(_))
}

/// The first event whose key stands earlier in the slice already.
fn first_repeated_key(slice: &[&Delivery]) -> Option<usize> {
    let mut seen = HashSet::new();
    slice.iter().position(|delivery| !seen.insert(delivery.key()))
}
