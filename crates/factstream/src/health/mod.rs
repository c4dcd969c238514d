//! What this process knows of its own handlers: what each is doing, and what it has counted. Kept in memory, so that it can
//! be told while the store and the broker are away.

mod desks;
mod state;

pub use state::State;

use crate::leases::Doing;
use crate::tasks::lock;
use desks::Desks;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What a handler tells about itself while it runs.
pub(crate) struct Health {
    state: Mutex<State>,
    handled: AtomicU64,
    skipped: AtomicU64,
    attempts: AtomicU64,
    restarts: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::Stopped),
            handled: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, state: State) {
        *lock(&self.state) = state;
    }

    pub(crate) fn running(&self) {
        self.set(State::Running);
    }

    pub(crate) fn idle(&self) {
        self.set(State::Idle);
    }

    pub(crate) fn paused(&self, reason: String) {
        self.set(State::Paused { reason });
    }

    pub(crate) fn halted(&self, reason: String) {
        self.set(State::Halted { reason });
    }

    pub(crate) fn restarting(&self, error: String, at: Timestamp) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.set(State::Restarting { error, at });
    }

    pub(crate) fn handled(&self, events: u64) {
        self.handled.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self, events: u64) {
        self.skipped.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn attempt_failed(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            handled: of(&self.handled),
            skipped: of(&self.skipped),
            attempts: of(&self.attempts),
            restarts: of(&self.restarts),
        }
    }
}

/// What a handler has counted since this process started.
pub(crate) struct Counts {
    pub(crate) handled: u64,
    pub(crate) skipped: u64,
    pub(crate) attempts: u64,
    pub(crate) restarts: u64,
}

/// The health of every handler and of the relay, and the questions about them that are not answered yet.
pub(crate) struct Healths {
    by_name: HashMap<String, Arc<Health>>,
    /// Whether they stopped because the handle of the running application was dropped.
    dropped: AtomicBool,
    pub(crate) desks: Desks,
}

impl Healths {
    /// That of these, by name.
    pub(crate) fn new(names: impl Iterator<Item = String>) -> Self {
        let by_name = names.map(|name| (name, Arc::new(Health::new()))).collect();
        Self { by_name, dropped: AtomicBool::new(false), desks: Desks::default() }
    }

    pub(crate) fn started(&self) {
        self.dropped.store(false, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.dropped.store(true, Ordering::Relaxed);
    }

    /// Where to look when a handler does not come on: what is known in this process of why.
    pub(crate) fn hint(&self, handler: Option<&str>) -> &'static str {
        if self.dropped.load(Ordering::Relaxed) {
            return "the handlers of this process stopped, for the value that App::start gave was dropped: keep it in a variable (not `_`)";
        }
        match handler.map(|handler| self.of(handler).state()) {
            Some(State::Stopped) => "the handlers do not run in this process: was App::start called?",
            _ => "look at the status: is the projection running?",
        }
    }

    /// What everything is doing, as other processes are told it (JSON).
    pub(crate) fn told(&self) -> String {
        let doing: BTreeMap<&String, Doing> =
            self.by_name.iter().map(|(name, health)| (name, doing(health.state()))).collect();
        serde_json::to_string(&doing).unwrap_or_else(|_| "{}".to_owned())
    }

    pub(crate) fn of(&self, name: &str) -> Arc<Health> {
        self.by_name.get(name).cloned().unwrap_or_else(|| Arc::new(Health::new()))
    }
}

/// As much of a reason as is told with the beats.
const REASON_BYTES_MAX: usize = 1_000;

fn doing(state: State) -> Doing {
    let (state, reason) = match state {
        State::Stopped => ("stopped", None),
        State::Standby { .. } => ("standing by", None),
        State::Outdated { generation, service } => {
            ("outdated", Some(format!("another build of {service} runs it (generation {generation})")))
        }
        State::Running | State::Idle => ("live", None),
        State::Paused { reason } => ("paused", Some(reason)),
        State::Halted { reason } => ("halted", Some(reason)),
        State::Restarting { error, .. } => ("restarting", Some(error)),
    };
    let reason = reason.map(|reason| reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned());
    Doing { state: state.to_owned(), reason }
}
