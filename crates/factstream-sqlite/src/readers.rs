//! Reading connections, several at once, beside the writer. Each read is short, so that the write-ahead log can be reset.

use crate::open;
use crate::options::Options;
use crate::pace::Pace;
use factstream_core::store::StoreError;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::consume_budget;

pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    pace: Arc<Pace>,
}

/// A connection that goes back when it is done with, also when its caller has gone away.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

impl Readers {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let count = options.readers.max(1);
        let idle: Vec<Connection> =
            (0..count).map(|_| open::reader(path, options)).collect::<Result<_, _>>()?;
        let (idle, permits) = (Arc::new(Mutex::new(idle)), Arc::new(Semaphore::new(count)));
        Ok(Self { idle, permits, pace: Arc::default() })
    }

    /// Runs a read on one of the connections: in this task when reads of this `name` are quick, else on a thread that may block.
    pub(crate) async fn read<T, F>(&self, name: &str, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lent = Lent { connection, idle: Arc::clone(&self.idle), _permit: permit };
        let work = move || {
            let connection = lent.connection.as_ref().ok_or(StoreError::Closed)?;
            let began = Instant::now();
            let result = catch_unwind(AssertUnwindSafe(|| read(connection)))
                .unwrap_or_else(|_| Err(StoreError::Engine("a read panicked".into())));
            Ok((result, began.elapsed()))
        };
        let worked: Result<_, StoreError> = if self.pace.is_quick(name) {
            consume_budget().await;
            work()
        } else {
            tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
        };
        let (result, time) = worked?;
        self.pace.took(name, time);
        result
    }
}
