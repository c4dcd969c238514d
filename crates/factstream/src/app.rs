//! The application: a handle on the store, the broker and the handlers. Where a user begins.
//!
//! [`App`] executes commands and answers queries as soon as it is open. [`App::start`] runs the relay and the handlers
//! until they are stopped. Everything that can be wrong in how it is put together is found by [`Builder::open`](crate::Builder::open).

use crate::error::Error;
use crate::handler::tables::Managed;
use crate::health::Healths;
use crate::kernel::system::System;
use crate::kernel::{Kernel, Progress, StoreClock, inside};
use crate::processor::Spec;
use crate::registry::Build;
use crate::retention::Retention;
use crate::tx::Tx;
use factstream_core::aggregate::Aggregate;
use factstream_core::broker::Broker;
use factstream_core::envelope::{Position, RecordedEvent, StreamId};
use factstream_core::store::Store;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A running application's handle: cheap to clone, shared by everything that uses it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::App;
/// # use std::time::Duration;
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}", dir.path().join("orders.db").display());
/// let app = App::builder(url).read_model::<OrderStatus>().open().await?;
/// let running = app.start().await?;
/// let created = app.create(create()).await?;
/// let row = app.read::<OrderStatus>().wait_for(created.position).get(&created.aggregate_id).await?;
/// assert_eq!(row.map(|row| row.status).as_deref(), Some("PENDING"));
/// running.stop(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct App {
    inner: Arc<Parts>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers: Vec<&str> = self.specs().iter().map(|spec| spec.name.as_str()).collect();
        f.debug_struct("App")
            .field("service", &self.inner.kernel.service)
            .field("store_id", &self.store_id())
            .field("handlers", &handlers)
            .finish_non_exhaustive()
    }
}

/// What an application is made of.
pub(crate) struct Parts {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) retention: Retention,
    pub(crate) specs: Vec<Spec>,
    pub(crate) managed: Vec<Managed>,
    pub(crate) builds: Vec<Build>,
    /// Whether it was opened to look only: it registers nothing and does not start.
    pub(crate) looks_only: bool,
    pub(crate) healths: Healths,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { inner: Arc::new(parts) }
    }

    /// The events of an aggregate, in order, after a version, at most `limit`: its audit trail.
    ///
    /// # Errors
    /// When the id is not valid or the store cannot be read.
    pub async fn events<A: Aggregate>(
        &self,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let stream = StreamId::new(A::TYPE, id)?;
        Ok(self.inner.kernel.store.read_stream(&stream, after, limit).await?)
    }

    /// The events of the log, in commit order, after a position, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.inner.kernel.store.read_log(after, limit).await?)
    }

    /// The position of the newest event.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn head(&self) -> Result<Position, Error> {
        Ok(self.inner.kernel.store.wait_beyond(0, Duration::ZERO).await?)
    }

    /// Begins a transaction of your own: SQL, events and commands that take effect together with [`Tx::commit`].
    ///
    /// [`App::transaction`] commits by itself, and runs the work again on a conflict. While this one is open, do not execute a command or begin
    /// another transaction in the same task: on SQLite they would wait for its end.
    ///
    /// # Errors
    /// When the store is busy or gone.
    pub async fn begin(&self) -> Result<Tx, Error> {
        inside::refuse(self.store_id(), "App::begin")?;
        Tx::begin(self.kernel()).await
    }

    /// The store's port, for tools.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.kernel.store
    }

    /// The broker's port, for tools.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.inner.kernel.broker
    }

    /// The id of the store: made once, kept in it, and the same for every process on it. A copy of a store has it, too.
    pub fn store_id(&self) -> Uuid {
        self.inner.kernel.store_id()
    }

    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        &self.inner.kernel
    }

    pub(crate) fn clock(&self) -> &StoreClock {
        &self.inner.kernel.clock
    }

    pub(crate) fn system(&self) -> &System {
        &self.inner.kernel.system
    }

    pub(crate) fn service(&self) -> Arc<str> {
        Arc::clone(&self.inner.kernel.service)
    }

    pub(crate) fn specs(&self) -> &[Spec] {
        &self.inner.specs
    }

    pub(crate) fn managed(&self) -> &[Managed] {
        &self.inner.managed
    }

    /// The handlers as this build declares them.
    pub(crate) fn builds(&self) -> &[Build] {
        &self.inner.builds
    }

    pub(crate) fn build_of(&self, handler: &str) -> Option<&Build> {
        self.builds().iter().find(|build| build.handler == handler)
    }

    pub(crate) fn looks_only(&self) -> bool {
        self.inner.looks_only
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.inner.kernel.progress
    }

    pub(crate) fn healths(&self) -> &Healths {
        &self.inner.healths
    }

    pub(crate) fn retention(&self) -> Retention {
        self.inner.retention
    }

    pub(crate) fn groups_need_lease(&self) -> bool {
        self.inner.kernel.groups_need_lease
    }
}

#[cfg(test)]
impl App {
    /// The same application, which nobody else holds, on a changed ground.
    pub(crate) fn changed(self, change: impl FnOnce(Kernel) -> Kernel) -> Self {
        fn alone<T>(held: Arc<T>) -> T {
            Arc::try_unwrap(held).unwrap_or_else(|_| panic!("somebody else holds the application"))
        }
        let parts = alone(self.inner);
        Self::new(Parts { kernel: Arc::new(change(alone(parts.kernel))), ..parts })
    }
}
