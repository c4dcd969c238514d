//! The processor: the one engine that runs every handler there is, projections and consumers alike.
//!
//! The way of a batch: [`source`] gives deliveries, [`batch`] handles them in one transaction with their marks
//! ([`checkpoint`] or inbox), [`letters`] holds what fails, [`retry`] takes it up again.
//!
//! Invariant: nothing is in flight between two batches. That makes revoking a partition, pausing and stopping trivial:
//! they happen between batches.

pub(crate) mod shard;
pub(crate) mod layout;
pub(crate) mod claim;
pub(crate) mod fault;
pub(crate) mod delivery;
pub(crate) mod source;
pub(crate) mod checkpoint;
pub(crate) mod mark;
pub(crate) mod batch;
pub(crate) mod isolate;
pub(crate) mod offsets;
pub(crate) mod letters;
pub(crate) mod amendments;
pub(crate) mod retry;

use crate::error::Error;
use crate::handler::options::Options;
use crate::handler::reaction::SharedReaction;
use crate::handler::tables::Managed;
use crate::health::Health;
use crate::kernel::Kernel;
use crate::processor::claim::Claim;
use crate::tasks::lock;
use crate::tx::{TableNames, Tx};
use amendments::Amendments;
use batch::SABOTAGE_TAKES;
use checkpoint::Place;
use delivery::Delivery;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::partition::partition_of;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::Store;
use jiff::Timestamp;
use mark::{Move, Progress};
use offsets::Reached;
use shard::Shard;
use source::{Batch, End, Log, Source, Topics};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long an idle processor waits for news before it looks for due retries again. News wakes it at once.
const IDLE_WAIT: Duration = Duration::from_millis(250);
/// How often the checkpoint of a projection that is given nothing but other handlers' events is written.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(1);
/// With this many keys waiting for a retry, intake pauses: something is wrong with more than an event (G13).
const RETRYING_KEYS_MAX: u64 = 1_000;

/// What a handler is: its name, what it does, and where its events come from.
#[derive(Clone)]
pub(crate) struct Spec {
    /// What its status and lease are called.
    pub(crate) name: String,
    /// The handler that it is, or is a part of: what its inbox and letters are called.
    pub(crate) handler: String,
    pub(crate) shard: Shard,
    pub(crate) kind: HandlerKind,
    pub(crate) reaction: SharedReaction,
    pub(crate) options: Options,
    pub(crate) from: EventSource,
}

/// What kind of handler it is, as the status shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HandlerKind {
    /// A read model: a pure fold.
    ReadModel,
    /// A projection that writes SQL.
    Projection,
    /// A consumer of topics.
    Consumer,
}

impl HandlerKind {
    /// What the tables and the status call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadModel => "read_model",
            Self::Projection => "projection",
            Self::Consumer => "consumer",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventSource {
    Log,
    Topics(Vec<String>),
}

/// Runs one handler until it is told to stop.
pub(crate) struct Processor {
    kernel: Arc<Kernel>,
    store: Arc<dyn Store>,
    /// The handler: inbox and letters.
    name: String,
    /// Its checkpoint, and the generation that every mark is made under.
    place: Place,
    claim: Claim,
    /// The cluster that a consumer's offsets mean something in.
    cluster: Mutex<String>,
    reaction: SharedReaction,
    options: Options,
    from_log: bool,
    tables: TableNames,
    /// What a projection's own tables are called when they are live.
    tables_live: Vec<String>,
    health: Arc<Health>,
    stop: CancellationToken,
    /// When the next retry is due, microseconds since 1970; `i64::MAX` when none is known of.
    next_retry: AtomicI64,
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
        let managed = managed.filter(|_| spec.from == EventSource::Log);
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
            from_log: spec.from == EventSource::Log,
            tables: TableNames::Live,
            tables_live: tables.iter().map(|table| table.name.clone()).collect(),
            health,
            stop,
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
    fn marks_inbox(&self) -> bool {
        !self.from_log || self.has_lanes() || self.claim.marks_inbox
    }

    /// The names of a projection's own tables, live or beside those.
    fn own_tables(&self) -> impl Iterator<Item = String> {
        self.tables_live.iter().map(|table| self.tables.of(table))
    }

    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        let tx = self.store.begin().await?;
        self.place.refuse_other_history(self.store.as_ref())?;
        Ok(Tx::new(Arc::clone(&self.kernel), tx, self.kernel.origin(), self.tables.clone()))
    }

    fn plan_retry(&self, at: Timestamp) {
        self.next_retry.fetch_min(at.as_microsecond(), Ordering::Relaxed);
    }

    /// Runs until `stop`: due retries first, then the next batch.
    pub(crate) async fn run(&self, spec: &Spec) -> Result<(), Error> {
        let mut checkpoint = match spec.from {
            EventSource::Log => Some(checkpoint::begin(self.store.as_ref(), &self.place, &spec.name).await?),
            EventSource::Topics(_) => None,
        };
        let mut source = self.open(spec, checkpoint.unwrap_or(0)).await?;
        self.kernel.progress.reached(&spec.name, checkpoint.unwrap_or(0));
        let mut looked_at_retries: Option<Instant> = None;
        let mut wrote_checkpoint = Instant::now();
        while !self.stop.is_cancelled() {
            if looked_at_retries.is_none_or(|at| at.elapsed() >= IDLE_WAIT) || self.retry_is_due() {
                self.next_retry.store(i64::MAX, Ordering::Relaxed);
                self.drive_due().await?;
                looked_at_retries = Some(Instant::now());
                self.pause_while_too_many_wait().await?;
            }
            let events_max = self.options.batch_events_max;
            let service = Arc::clone(&self.kernel.service);
            let next = source.next(events_max, self.wait(), &self.reaction, &service);
            let batch = tokio::select! {
                () = self.stop.cancelled() => break,
                batch = next => batch?,
            };
            if batch.as_ref().is_none_or(|batch| batch.deliveries.is_empty())
                && let (Some(at), Source::Log(log)) = (&mut checkpoint, &source)
                && *at < log.read_to
                && wrote_checkpoint.elapsed() >= IDLE_CHECKPOINT
            {
                checkpoint::move_alone(self.store.as_ref(), &self.place, *at, log.read_to).await?;
                (*at, wrote_checkpoint) = (log.read_to, Instant::now());
            }
            let Some(batch) = batch else {
                self.health.idle();
                continue;
            };
            self.health.running();
            if is_on(Sabotage::AckBeforeCommit) {
                source.commit(&batch.end).await?;
                tokio::time::sleep(SABOTAGE_TAKES).await;
            }
            self.take(&batch, &mut checkpoint).await?;
            source.commit(&batch.end).await?;
            self.health.handled(batch.deliveries.len() as u64);
            self.health.skipped(batch.skipped);
            if let End::Log(position) = batch.end {
                self.kernel.progress.reached(&spec.name, position);
            }
        }
        if let (Some(at), Source::Log(log)) = (checkpoint, &source)
            && at < log.read_to
        {
            checkpoint::move_alone(self.store.as_ref(), &self.place, at, log.read_to).await?;
        }
        Ok(())
    }

    /// Handles a batch and records how far it reaches.
    async fn take(&self, batch: &Batch, checkpoint: &mut Option<Position>) -> Result<(), Error> {
        let deliveries = &batch.deliveries;
        match &batch.end {
            End::Topics(offsets) => {
                let reached = Reached { offsets, newest: &batch.newest, skipped: &batch.skipped_types };
                if !deliveries.is_empty() {
                    self.handle_batch(deliveries, Progress::Topics(reached)).await?;
                }
                if deliveries.is_empty() || self.has_lanes() {
                    self.reach_alone(reached).await?;
                }
            }
            End::Log(_) if deliveries.is_empty() => {} // written now and then, when nothing else is
            End::Log(to) => {
                let from = checkpoint.unwrap_or(0);
                self.handle_batch(deliveries, Progress::Log(Move { from, to: *to })).await?;
                if self.has_lanes() {
                    checkpoint::move_alone(self.store.as_ref(), &self.place, from, *to).await?;
                }
                *checkpoint = Some(*to);
            }
        }
        Ok(())
    }

    async fn open(&self, spec: &Spec, read_to: Position) -> Result<Source, Error> {
        let EventSource::Topics(_) = &spec.from else {
            let (store, layouts) = (Arc::clone(&self.store), self.claim.layouts.clone());
            let history = store.history();
            let amendments = Amendments::load(&store, &self.name, read_to).await?;
            return Ok(Source::Log(Log { store, read_to, history, shard: spec.shard, layouts, amendments }));
        };
        let broker = &self.kernel.broker;
        let cluster = broker.cluster().await?;
        // The embedded broker's own offsets lie in the store already.
        let stored = match self.kernel.groups_need_lease {
            true => Vec::new(),
            false => offsets::stored(self.store.as_ref(), &self.name, &cluster).await?,
        };
        *lock(&self.cluster) = cluster;
        let subscription = broker.subscribe(&self.name, &self.claim.topics, &stored).await?;
        Ok(Source::Topics(Topics {
            subscription,
            unknown_types: self.options.unknown_types,
            tombstones: self.options.tombstones,
            former_until: self.kernel.former_until,
        }))
    }

    fn retry_is_due(&self) -> bool {
        Timestamp::now().as_microsecond() >= self.next_retry.load(Ordering::Relaxed)
    }

    /// How long to wait for news: until the next retry, but not longer than [`IDLE_WAIT`].
    fn wait(&self) -> Duration {
        let until = self.next_retry.load(Ordering::Relaxed).saturating_sub(Timestamp::now().as_microsecond());
        IDLE_WAIT.min(Duration::from_micros(u64::try_from(until).unwrap_or(0)))
    }

    async fn pause_while_too_many_wait(&self) -> Result<(), Error> {
        let sql = "SELECT count(*) AS retrying FROM fs_blocked_keys WHERE handler = $1 AND next_attempt_at IS NOT NULL";
        loop {
            let rows = self.store.query(sql, params![&self.name]).await?;
            let retrying = rows.first().map(|row| row.get::<u64>("retrying")).transpose()?.unwrap_or(0);
            if retrying < RETRYING_KEYS_MAX || self.stop.is_cancelled() {
                return Ok(());
            }
            self.health.paused(format!(
                "{retrying} keys wait for a retry; no new events are taken in until that is less"
            ));
            tokio::time::sleep(self.wait()).await;
            self.next_retry.store(i64::MAX, Ordering::Relaxed);
            self.drive_due().await?;
        }
    }
}

/// The batch in lanes: one key is in one lane, in order.
fn partition_lanes(batch: &[Delivery], lanes: usize) -> Vec<Vec<&Delivery>> {
    let mut by_lane: Vec<Vec<&Delivery>> = (0..lanes).map(|_| Vec::new()).collect();
    for delivery in batch {
        let lane = partition_of(delivery.key.as_bytes(), u32::try_from(lanes).unwrap_or(u32::MAX));
        by_lane[lane as usize].push(delivery);
    }
    by_lane.retain(|lane| !lane.is_empty());
    by_lane
}
