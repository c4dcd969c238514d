//! Stops the statements of a transaction that is over: its time has passed, or its handle was dropped.
//!
//! Invariant: a statement is interrupted only while its own transaction is served. Beginning, ending and interrupting
//! happen under one lock, so a late interrupt never meets the work of whoever writes next.

use rusqlite::InterruptHandle;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An interrupt that comes between two statements is lost, so it is repeated until the transaction has ended.
const REPEAT: Duration = Duration::from_millis(10);

/// The writer's side: says which transaction is served. Dropping it ends the watching thread.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

/// The handle's side: stops the statement of one transaction.
pub(crate) struct Stopper {
    shared: Arc<Shared>,
    number: u64,
}

struct Shared {
    interrupt: InterruptHandle,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Counts transactions, so that a handle stops none but its own.
    number: u64,
    /// While a transaction is served.
    deadline: Option<Instant>,
    /// Whether the thread sleeps until it is told of a transaction.
    asleep: bool,
    closed: bool,
}

impl Watchdog {
    pub(crate) fn start(interrupt: InterruptHandle) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { interrupt, state: Mutex::default(), changed: Condvar::new() });
        let watched = Arc::clone(&shared);
        std::thread::Builder::new().name("factstream-watchdog".into()).spawn(move || watched.watch())?;
        Ok(Self { shared })
    }

    /// A transaction is served from now on.
    pub(crate) fn begin(&self, deadline: Instant) -> Stopper {
        let mut state = self.shared.lock();
        state.number += 1;
        state.deadline = Some(deadline);
        if state.asleep {
            self.shared.changed.notify_one();
        }
        Stopper { shared: Arc::clone(&self.shared), number: state.number }
    }

    /// It is served no more: from here on nothing is interrupted.
    pub(crate) fn end(&self) {
        self.shared.lock().deadline = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Stopper {
    /// Interrupts what this transaction is doing, if it is still served.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.lock();
        if state.number == self.number && state.deadline.is_some() {
            // Its time ends now, so that the thread goes on where this one interrupt came too early.
            state.deadline = Some(Instant::now());
            self.shared.interrupt.interrupt();
            self.shared.changed.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All transactions have the same limit, so a deadline seen is never later than the next one's: under a steady load
    /// the thread is not woken for each of them.
    fn watch(&self) {
        let mut state = self.lock();
        while !state.closed {
            let wait = match state.deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => {
                        self.interrupt.interrupt();
                        Some(REPEAT)
                    }
                },
            };
            state = match wait {
                None => {
                    state.asleep = true;
                    let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.asleep = false;
                    state
                }
                Some(wait) => {
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
