//! What tasks that share something have in common: locks, and what becomes of a panic.

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::task::JoinError;

/// Locks without fear of poison: what is guarded is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a task of our own came to; its panic goes on here.
pub(crate) fn joined<T, E>(done: Result<Result<T, E>, JoinError>) -> Result<T, E> {
    done.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => unreachable!("nobody cancels it: {error}"),
    })
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}
