//! What must not be called inside a transaction: whatever begins another one on the same store, or waits for one.
//!
//! On SQLite there is one writer, and the transaction is it: a command executed from inside would wait for its own end. On PostgreSQL
//! it would take effect although the transaction is rolled back. So both refuse it at once. And because of which event a handler's code
//! runs, so that commands which it executes elsewhere go on with that conversation. Both are known within the task that runs the
//! handler, not in tasks that the handler spawns.

use super::origin::Origin;
use crate::error::Error;
use std::future::Future;
use uuid::Uuid;

tokio::task_local! {
    /// The store whose transaction this task is inside.
    static STORE: Uuid;
    /// The event because of which this task runs a handler's code, as the origin of what that causes.
    static CAUSE: Origin;
}

/// Runs user code that holds a transaction of the store with this id.
pub(crate) async fn inside<T>(store: Uuid, work: impl Future<Output = T>) -> T {
    STORE.scope(store, work).await
}

/// Runs a handler's code because of an event.
pub(crate) async fn because_of<T>(cause: Origin, work: impl Future<Output = T>) -> T {
    CAUSE.scope(cause, work).await
}

/// Because of which event this task runs.
pub(crate) fn cause() -> Option<Origin> {
    CAUSE.try_with(Clone::clone).ok()
}

/// Refuses `call` inside a transaction of the store with this id.
pub(crate) fn refuse(store: Uuid, call: &'static str) -> Result<(), Error> {
    match STORE.try_with(|inside| *inside == store) {
        Ok(true) => Err(Error::InsideTransaction { call }),
        _ => Ok(()),
    }
}
