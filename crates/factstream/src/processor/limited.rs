//! Handling within a handler's limits (G20): each call, and each transaction of a handler in the store, passes the gate first.
//!
//! Invariants: no transaction is open and no time limit runs while it is waited. What was handled before, or is parked, needs no permit.

use crate::error::Error;
use crate::handler::Failure;
use crate::handler::reaction::{BatchFailure, Decoded};
use crate::health::State;
use crate::kernel::inside::because_of;
use crate::limits::{Came, Gate, Pass};
use crate::processor::Processor;
use crate::processor::delivery::{Content, Delivery};
use crate::processor::fault::is_contention;
use crate::processor::mark::CheckpointMark;

/// What came of asking the outside world about an event.
pub(crate) enum Called {
    /// It answered, or there was nothing to ask.
    Done,
    /// A limit has it wait, or the handler stops.
    Later,
    Failed(Failure),
}

impl Processor {
    /// From now on, the gate may be waited at for some time again.
    pub(super) fn begin_turn(&self) {
        if let Some(gate) = &self.gate {
            gate.begin_turn();
        }
    }

    /// How many events a batch has at most.
    pub(super) fn batch_events_max(&self) -> usize {
        let max = self.options.batch_events_max;
        self.gate.as_ref().map_or(max, |gate| gate.batch_max(self.options.concurrency).min(max))
    }

    /// Shows that it is at work or idle, unless its circuit is open.
    pub(super) fn tell_at_work(&self, state: State) {
        match self.gate.as_deref().and_then(Gate::pauses) {
            Some(reason) => self.health.paused(reason),
            None => self.health.set(state),
        }
    }

    /// Asks the outside world about one event, within the time limit.
    pub(crate) async fn call(&self, delivery: &Delivery) -> Result<Called, Error> {
        let Content::Ready { event, origin } = &delivery.content else { return Ok(Called::Done) };
        if !self.reaction.calls(event) || delivery.outcome.get().is_some() {
            return Ok(Called::Done);
        }
        let Some(pass) = self.pass(event).await? else { return Ok(Called::Later) };
        let limit = self.options.time_limit;
        let call = because_of(origin.clone(), self.reaction.call(event));
        let called = tokio::time::timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(Failure::transient(format!("the call took longer than {limit:?}"))));
        match called {
            Ok(outcome) => {
                self.answered(pass);
                let _ = delivery.outcome.set(outcome);
                Ok(Called::Done)
            }
            Err(failure) => Ok(Called::Failed(self.judge(pass, failure))),
        }
    }

    /// One transaction over the slice, within the limits.
    pub(super) async fn attempt_within_limits(
        &self,
        slice: &[&Delivery],
        mark: CheckpointMark<'_>,
    ) -> Result<Result<(), BatchFailure>, Error> {
        if self.gate.is_none() || self.is_done(slice).await? {
            return self.attempt(slice, mark).await;
        }
        let Some(pass) = self.admit(slice).await? else { return Ok(Err(BatchFailure::later())) };
        Ok(match self.attempt(slice, mark).await? {
            Ok(()) => {
                self.answered(pass);
                Ok(())
            }
            Err(met) if met.later => Err(met),
            Err(met) => Err(BatchFailure { failure: self.judge(pass, met.failure), ..met }),
        })
    }

    /// Whether nothing of a slice will be handled by its handler in the store: it was handled before, or is to be parked.
    async fn is_done(&self, slice: &[&Delivery]) -> Result<bool, Error> {
        let wanting: Vec<(usize, &Delivery)> = slice.iter().copied().enumerate().collect();
        if wanting.is_empty() || self.calls(slice) {
            return Ok(false);
        }
        let done = self.handled_or_blocked(&wanting).await?;
        let is_blocked = |delivery: &Delivery| delivery.units().any(|unit| done.contains(&*unit));
        Ok(slice.iter().all(|delivery| done.contains(delivery.identity()) || is_blocked(delivery)))
    }

    /// Waits for leave to handle a slice in a transaction, which is one event where there are limits. An external handler waits before it
    /// calls, and not here. `None`: later.
    pub(super) async fn admit(&self, slice: &[&Delivery]) -> Result<Option<Option<Pass<'_>>>, Error> {
        let [delivery] = slice else { return Ok(Some(None)) };
        let Content::Ready { event, .. } = &delivery.content else { return Ok(Some(None)) };
        if self.gate.is_none() || self.reaction.calls(event) {
            return Ok(Some(None));
        }
        self.pass(event).await
    }

    /// Waits at the gate, where there is one: the inner `None`. The outer one: later.
    async fn pass(&self, event: &Decoded) -> Result<Option<Option<Pass<'_>>>, Error> {
        let Some(gate) = &self.gate else { return Ok(Some(None)) };
        let passed = gate.pass(self.reaction.envelope(event), &self.kernel, &self.stop).await?;
        if let Some(reason) = gate.pauses() {
            self.health.paused(reason);
        }
        Ok(passed.map(Some))
    }

    /// The other side answered.
    pub(super) fn answered(&self, pass: Option<Pass<'_>>) {
        if let Some(pass) = pass {
            let was_probe = pass.is_probe();
            pass.came_to(Came::Answer);
            if was_probe {
                self.tell_at_work(State::Running);
            }
        }
    }

    /// Says at the gate that it failed. The failure of a circuit's probe is no attempt.
    pub(super) fn judge(&self, pass: Option<Pass<'_>>, failure: Failure) -> Failure {
        let Some(pass) = pass.filter(|_| !is_contention(&failure)) else { return failure };
        if failure.is_permanent() {
            self.answered(Some(pass));
            return failure;
        }
        let was_probe = pass.is_probe();
        pass.came_to(Came::Failure);
        self.tell_at_work(State::Running);
        if was_probe { failure.of_probe() } else { failure }
    }
}
