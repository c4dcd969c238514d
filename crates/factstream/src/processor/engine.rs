//! The processor of one handler: what it works with.

use super::checkpoint::Place;
use super::claim::Claim;
use super::spec::{HandlerKind, Spec};
use crate::error::Error;
use crate::handler::options::Options;
use crate::handler::reaction::SharedReaction;
use crate::handler::tables::Managed;
use crate::health::Health;
use crate::kernel::Kernel;
use crate::limits::Gate;
use crate::tx::{TableNames, Tx};
use factstream_core::store::Store;
use jiff::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs one handler until it is told to stop.
pub(crate) struct Processor {
    pub(super) kernel: Arc<Kernel>,
    pub(super) store: Arc<dyn Store>,
    /// The handler: inbox and letters.
    pub(super) name: String,
    /// Its checkpoint, and the generation that every mark is made under.
    pub(super) place: Place,
    pub(super) claim: Claim,
    /// The cluster that a consumer's offsets mean something in.
    pub(super) cluster: Mutex<String>,
    pub(super) reaction: SharedReaction,
    pub(super) options: Options,
    /// What each event waits at, where the handler has limits.
    pub(super) gate: Option<Arc<Gate>>,
    /// Whether its progress is a checkpoint; else it is offsets.
    pub(super) has_checkpoint: bool,
    /// Whether an event may have several deliveries, each of which is marked by itself.
    pub(super) is_process: bool,
    pub(super) tables: TableNames,
    /// What a projection's own tables are called when they are live.
    pub(super) tables_live: Vec<String>,
    pub(super) health: Arc<Health>,
    pub(super) stop: CancellationToken,
    /// When to look next for events whose causes are handled.
    pub(super) next_look: Mutex<Option<Instant>>,
    /// When the next retry is due, microseconds since 1970; `i64::MAX` when none is known of.
    pub(super) next_retry: AtomicI64,
}

impl Processor {
    pub(crate) fn new(
        kernel: &Arc<Kernel>,
        spec: &Spec,
        managed: &[Managed],
        claim: Claim,
        health: Arc<Health>,
        stop: CancellationToken,
    ) -> Self {
        let managed = managed.iter().find(|managed| managed.projection == spec.handler);
        // A consumer's tables are never replaced by others.
        let managed = managed.filter(|_| spec.source.has_checkpoint());
        let tables = managed.map_or(&[][..], |managed| &managed.tables);
        let (generation, shard) = (claim.generation, spec.shard.index());
        Self {
            kernel: Arc::clone(kernel),
            store: Arc::clone(&kernel.store),
            name: spec.handler.clone(),
            place: Place {
                handler: spec.handler.clone(),
                generation,
                shard,
                history: kernel.store.history(),
            },
            claim,
            cluster: Mutex::default(),
            reaction: Arc::clone(&spec.reaction),
            options: spec.options,
            gate: spec.gate.clone(),
            has_checkpoint: spec.source.has_checkpoint(),
            is_process: spec.kind == HandlerKind::Process,
            tables: TableNames::Live,
            tables_live: tables.iter().map(|table| table.name.clone()).collect(),
            health,
            stop,
            next_look: Mutex::default(),
            next_retry: AtomicI64::new(i64::MAX),
        }
    }

    /// The same handler under the name of a rebuild, on the rebuild's own tables beside the live ones.
    pub(crate) fn beside(mut self, name: String, tables: TableNames) -> Self {
        self.place = Place::own(&name, self.place.history);
        self.name = name;
        self.tables = tables;
        self
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether keys are handled in parallel, so that the checkpoint moves after the batch.
    pub(crate) fn has_lanes(&self) -> bool {
        self.options.concurrency > 1
    }

    /// Whether events are marked in the inbox. A projection with one lane needs no inbox, its checkpoint says it all, unless
    /// it had several lanes before.
    pub(super) fn marks_inbox(&self) -> bool {
        !self.has_checkpoint || self.has_lanes() || self.is_process || self.claim.marks_inbox
    }

    /// The names of a projection's own tables, live or beside those.
    pub(super) fn own_tables(&self) -> impl Iterator<Item = String> {
        self.tables_live.iter().map(|table| self.tables.of(table))
    }

    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        let tx = self.store.begin().await?;
        self.place.refuse_other_history(self.store.as_ref())?;
        Ok(Tx::new(Arc::clone(&self.kernel), tx, self.kernel.origin(), self.tables.clone()))
    }

    pub(super) fn plan_retry(&self, at: Timestamp) {
        self.next_retry.fetch_min(at.as_microsecond(), Ordering::Relaxed);
    }

    pub(crate) fn superseded(&self) -> Error {
        Error::Superseded { handler: self.name.clone() }
    }
}
