//! The writing connection, and which transaction may use it now.
//!
//! The writer thread begins and ends every transaction. Between the two, quick statements of the transaction that is served run in its
//! own task ([`Desk::within`]), the others on the writer thread. Where nobody else wants the connection, a quick append runs in its
//! caller's task, too.
//!
//! Invariant: the connection is used by one thread at a time, and within a transaction only for that transaction: its number is
//! compared under the lock that its end takes, too.

use crate::pace::Pace;
use rusqlite::Connection;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Desk {
    place: Mutex<Place>,
    /// Whether the writer thread has something to do: then everybody else goes there, too.
    pub(crate) busy: AtomicBool,
    pub(crate) pace: Pace,
}

/// The connection in use.
pub(crate) struct Place {
    connection: Connection,
    /// The number of the transaction that is served.
    served: Option<u64>,
    begun: u64,
}

impl Desk {
    pub(crate) fn new(connection: Connection) -> Self {
        let place = Mutex::new(Place { connection, served: None, begun: 0 });
        Self { place, busy: AtomicBool::default(), pace: Pace::default() }
    }

    pub(crate) fn take(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, when nobody wants it at this moment.
    pub(crate) fn take_if_free(&self) -> Option<MutexGuard<'_, Place>> {
        if self.busy.load(Ordering::Acquire) {
            return None;
        }
        self.place.try_lock().ok().filter(|place| place.served.is_none())
    }

    /// Runs something of a transaction; `None` when that is served no more.
    pub(crate) fn within<T>(&self, number: u64, run: impl FnOnce(&Connection) -> T) -> Option<T> {
        let place = self.take();
        (place.served == Some(number)).then(|| run(&place.connection))
    }
}

impl Deref for Place {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Place {
    /// Begins a transaction, which is served from now on; its number.
    pub(crate) fn begin(&mut self) -> rusqlite::Result<u64> {
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            self.roll_back();
            return Err(error);
        }
        self.begun += 1;
        self.served = Some(self.begun);
        Ok(self.begun)
    }

    /// It is served no more.
    pub(crate) fn end(&mut self) {
        self.served = None;
    }

    /// Ends whatever transaction is left. After some errors SQLite has done so by itself.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}
