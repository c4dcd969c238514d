//! What must not be called inside a transaction: whatever begins another one on the same store, or waits for one.
//!
//! On SQLite there is one writer, and the transaction is it: a command executed from inside would wait for its own end. On PostgreSQL
//! it would take effect although the transaction is rolled back. So both refuse it at once. It is known within the task that runs the
//! handler, not in tasks that the handler spawns.

use crate::app::App;
use crate::error::Error;
use std::future::Future;
use uuid::Uuid;

tokio::task_local! {
    /// The store whose transaction this task is inside.
    static STORE: Uuid;
}

/// Runs user code that holds a transaction.
pub(crate) async fn inside<T>(app: &App, work: impl Future<Output = T>) -> T {
    STORE.scope(app.store_id(), work).await
}

/// Refuses `call` inside a transaction of the same store.
pub(crate) fn refuse(app: &App, call: &'static str) -> Result<(), Error> {
    match STORE.try_with(|store| *store == app.store_id()) {
        Ok(true) => Err(Error::InsideTransaction { call }),
        _ => Ok(()),
    }
}
