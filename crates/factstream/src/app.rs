//! The application: a handle on the store, the broker and the handlers. Where a user begins.
//!
//! [`App`] executes commands and answers queries as soon as it is open. [`App::start`] runs the relay and the handlers
//! until they are stopped. Everything that can be wrong in how it is put together is found by [`Builder::open`].

use crate::builder::Builder;
use crate::command::inside;
use crate::command::turns::Turns;
use crate::error::Error;
use crate::processor::Spec;
use crate::progress::Progress;
use crate::read_model::Managed;
use crate::registry::Build;
use crate::retention::Retention;
use crate::states::States;
use crate::status::Healths;
use crate::store_clock::StoreClock;
use crate::system::System;
use crate::tx::{TableNames, Tx};
use factstream_core::aggregate::Aggregate;
use factstream_core::broker::Broker;
use factstream_core::envelope::{Position, RecordedEvent, StreamId};
use factstream_core::store::Store;
use jiff::Timestamp;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A running application's handle: cheap to clone, shared by everything that uses it.
#[derive(Clone)]
pub struct App {
    inner: Arc<Parts>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers: Vec<&str> = self.specs().iter().map(|spec| spec.name.as_str()).collect();
        f.debug_struct("App")
            .field("service", &self.inner.service)
            .field("store_id", &self.store_id())
            .field("handlers", &handlers)
            .finish_non_exhaustive()
    }
}

/// What an application is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) system: System,
    pub(crate) clock: StoreClock,
    pub(crate) broker: Arc<dyn Broker>,
    /// Whether the broker lets every member of a group read all partitions, so that a group needs one owner.
    pub(crate) groups_need_lease: bool,
    pub(crate) service: Arc<str>,
    pub(crate) mirrors_dead_letters: bool,
    pub(crate) retention: Retention,
    /// Until when records are known as earlier builds knew them.
    pub(crate) former_until: Option<Timestamp>,
    /// The topic of each public event type that is declared.
    pub(crate) topics_of_types: HashMap<&'static str, &'static str>,
    pub(crate) states: States,
    pub(crate) turns: Turns,
    pub(crate) specs: Vec<Spec>,
    pub(crate) managed: Vec<Managed>,
    pub(crate) builds: Vec<Build>,
    /// Whether it was opened to look only: it registers nothing and does not start.
    pub(crate) looks_only: bool,
    pub(crate) progress: Progress,
    pub(crate) healths: Healths,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { inner: Arc::new(parts) }
    }

    /// Opens a store with nothing but commands and queries on it; [`App::builder`] for more.
    ///
    /// # Errors
    /// When the store cannot be opened: the error says why and what to do.
    pub async fn open(store_url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(store_url).open().await
    }

    /// Begins an application on the store at this URL: `sqlite://orders.db`.
    pub fn builder(store_url: impl Into<String>) -> Builder {
        Builder::new(store_url.into())
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
        let stream = StreamId::new(A::CATEGORY, id)?;
        Ok(self.inner.store.read_stream(&stream, after, limit).await?)
    }

    /// The events of the log, in commit order, after a position, at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, Error> {
        Ok(self.inner.store.read_log(after, limit).await?)
    }

    /// The position of the newest event.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn head(&self) -> Result<Position, Error> {
        Ok(self.inner.store.wait_beyond(0, Duration::ZERO).await?)
    }

    /// Begins a transaction of your own: SQL, events and commands that take effect together with [`Tx::commit`].
    ///
    /// [`App::transaction`] commits by itself, and runs the work again on a conflict. While this one is open, do not execute a command or begin
    /// another transaction in the same task: on SQLite they would wait for its end.
    ///
    /// # Errors
    /// When the store is busy or gone.
    pub async fn begin(&self) -> Result<Tx, Error> {
        inside::refuse(self, "App::begin")?;
        let tx = self.inner.store.begin().await?;
        Ok(Tx::new(self.clone(), tx, self.origin(), TableNames::Live))
    }

    /// The store's port, for tools.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The broker's port, for tools.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.inner.broker
    }

    /// The id of the store: made once, kept in it, and the same for every process on it. A copy of a store has it, too.
    pub fn store_id(&self) -> Uuid {
        self.inner.system.store_id
    }

    pub(crate) fn clock(&self) -> &StoreClock {
        &self.inner.clock
    }

    pub(crate) fn system(&self) -> &System {
        &self.inner.system
    }

    pub(crate) fn states(&self) -> &States {
        &self.inner.states
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.inner.turns
    }

    pub(crate) fn service(&self) -> Arc<str> {
        Arc::clone(&self.inner.service)
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
        &self.inner.progress
    }

    pub(crate) fn healths(&self) -> &Healths {
        &self.inner.healths
    }

    pub(crate) fn mirrors_dead_letters(&self) -> bool {
        self.inner.mirrors_dead_letters
    }

    pub(crate) fn retention(&self) -> Retention {
        self.inner.retention
    }

    /// The topic of a public event type that this build declares.
    pub(crate) fn topic_of(&self, event_type: &str) -> Option<&'static str> {
        self.inner.topics_of_types.get(event_type).copied()
    }

    pub(crate) fn former_until(&self) -> Option<Timestamp> {
        self.inner.former_until
    }

    pub(crate) fn groups_need_lease(&self) -> bool {
        self.inner.groups_need_lease
    }
}

#[cfg(test)]
impl App {
    /// The same application, which nobody else holds, with its parts changed.
    pub(crate) fn changed(self, change: impl FnOnce(Parts) -> Parts) -> Self {
        let parts =
            Arc::try_unwrap(self.inner).unwrap_or_else(|_| panic!("somebody else holds the application"));
        Self::new(change(parts))
    }
}
