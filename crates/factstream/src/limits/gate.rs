//! What each event of a limited handler waits at: first the circuit, then a permit of the rate.
//!
//! Invariant: a turn at the gate ends. Who would wait longer goes back to its source, which so learns that the handler lives, and to
//! what else is due; it comes again.

use super::Limits;
use super::breaker::{Breaker, Told};
use super::permits::Permits;
use crate::error::Error;
use crate::kernel::{Kernel, StoreClock};
use crate::tasks::lock;
use std::any::Any;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long is waited in one turn: far less than a lease or a group's session allows.
const TURN: Duration = Duration::from_secs(3);

pub(crate) struct Gate {
    breaker: Option<Breaker>,
    permits: Option<Permits>,
    turn_ends: Mutex<Instant>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// The other side answered, be it that it never will do this.
    Answer,
    /// It failed, and may work later.
    Failure,
}

/// Leave to call once. Dropped without a word of what came of it, it was none.
pub(crate) struct Pass<'a> {
    breaker: Option<&'a Breaker>,
    clock: &'a StoreClock,
    is_probe: bool,
}

impl Pass<'_> {
    /// Whether it is the one that an open circuit lets through.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Says what came of the call.
    pub(crate) fn came_to(mut self, came: Came) {
        let is_probe = std::mem::take(&mut self.is_probe);
        match (self.breaker, came) {
            (Some(breaker), Came::Answer) => breaker.answered(is_probe),
            (Some(breaker), Came::Failure) => breaker.failed(is_probe, self.clock.now()),
            (None, _) => {}
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let (true, Some(breaker)) = (self.is_probe, self.breaker) {
            breaker.probe_dropped(self.clock.now());
        }
    }
}

impl Gate {
    /// The gate of a handler whose events have so many attempts; `None` without limits.
    pub(crate) fn new(handler: &str, limits: &Limits, max_attempts: u32) -> Result<Option<Self>, Error> {
        let refused = |problem| Error::Wiring(format!("{handler} has {problem}"));
        if let Some(circuit) = limits.circuit {
            circuit.check(max_attempts).map_err(refused)?;
        }
        let permits = match &limits.rate {
            Some(rate) => Some(Permits::new(handler, rate, rate.pace().map_err(refused)?)),
            None => None,
        };
        let breaker = limits.circuit.map(Breaker::new);
        let turn_ends = Mutex::new(Instant::now());
        Ok((breaker.is_some() || permits.is_some()).then_some(Self { breaker, permits, turn_ends }))
    }

    /// How many events are taken in at once at most: those of about a second, so that little comes again after a turn.
    pub(crate) fn batch_max(&self, lanes: usize) -> usize {
        self.permits.as_ref().map_or(usize::MAX, |permits| permits.in_a_second().max(lanes))
    }

    /// From now on, some time may be waited again.
    pub(crate) fn begin_turn(&self) {
        *lock(&self.turn_ends) = Instant::now() + TURN;
    }

    /// Waits for leave to call once; `None` when the handler stops or the turn is over.
    pub(crate) async fn pass<'a>(
        &'a self,
        event: &(dyn Any + Send + Sync),
        kernel: &'a Kernel,
        stop: &CancellationToken,
    ) -> Result<Option<Pass<'a>>, Error> {
        let turn_ends = *lock(&self.turn_ends);
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(None),
            passed = self.wait(event, kernel) => passed.map(Some),
            () = tokio::time::sleep_until(turn_ends) => Ok(None),
        }
    }

    /// Why the handler pauses, if it does.
    pub(crate) fn pauses(&self) -> Option<String> {
        self.breaker.as_ref().and_then(Breaker::reason)
    }

    async fn wait<'a>(
        &'a self,
        event: &(dyn Any + Send + Sync),
        kernel: &'a Kernel,
    ) -> Result<Pass<'a>, Error> {
        loop {
            let mut pass = Pass { breaker: self.breaker.as_ref(), clock: &kernel.clock, is_probe: false };
            if let Some(breaker) = &self.breaker {
                pass.is_probe = let_through(breaker, &kernel.clock).await;
            }
            let Some(permits) = &self.permits else { return Ok(pass) };
            let permit = permits.wait(event, kernel).await?;
            // It may have opened meanwhile.
            if pass.is_probe || self.breaker.as_ref().is_none_or(Breaker::is_closed) {
                permit.use_up();
                return Ok(pass);
            }
        }
    }
}

/// Waits until the circuit lets somebody through; whether as the probe.
async fn let_through(breaker: &Breaker, clock: &StoreClock) -> bool {
    loop {
        let news = breaker.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        match breaker.come(clock.now()) {
            Told::GoOn { probe } => return probe,
            Told::Wait(until) => {
                let left = until.map_or(TURN, |until| {
                    Duration::try_from(until.duration_since(clock.now())).unwrap_or(Duration::ZERO)
                });
                let _ = tokio::time::timeout(clock.wait_at_most(left), news).await;
            }
        }
    }
}
