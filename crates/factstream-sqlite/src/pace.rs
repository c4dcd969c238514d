//! Which statements are quick enough to run in their caller's task.
//!
//! Handing a statement to another thread and waiting for its answer costs two wake-ups, several times what most statements cost
//! themselves. A statement runs on a thread that may block until it has shown to be quick; from then on in its caller's task, until it
//! is slow once.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// What a task may be held up for: a tick of the runtime takes about as long.
const QUICK: Duration = Duration::from_micros(300);
/// Statements that are remembered. Programs have fewer; those that write values into their text have any number.
const STATEMENTS_MAX: usize = 1_024;
/// More rows than these are for a thread, whatever the statement.
pub(crate) const QUICK_ROWS_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Pace {
    quick: RwLock<HashSet<Box<str>>>,
}

impl Pace {
    pub(crate) fn is_quick(&self, statement: &str) -> bool {
        self.quick.read().unwrap_or_else(PoisonError::into_inner).contains(statement)
    }

    /// How long it took this time.
    pub(crate) fn took(&self, statement: &str, time: Duration) {
        let (was, is) = (self.is_quick(statement), time <= QUICK);
        if was == is {
            return;
        }
        let mut quick = self.quick.write().unwrap_or_else(PoisonError::into_inner);
        if !is {
            quick.remove(statement);
        } else if quick.len() < STATEMENTS_MAX {
            quick.insert(statement.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_quick_as_long_as_it_was_the_last_time() {
        let pace = Pace::default();
        assert!(!pace.is_quick("SELECT 1"), "nothing is known of it");
        pace.took("SELECT 1", QUICK);
        assert!(pace.is_quick("SELECT 1") && !pace.is_quick("SELECT 2"));
        pace.took("SELECT 1", QUICK + Duration::from_micros(1));
        assert!(!pace.is_quick("SELECT 1"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let pace = Pace::default();
        (0..=STATEMENTS_MAX).for_each(|number| pace.took(&format!("SELECT {number}"), Duration::ZERO));
        assert!(pace.is_quick("SELECT 0") && !pace.is_quick(&format!("SELECT {STATEMENTS_MAX}")));
    }
}
