//! Rebuilds: a new table beside the live one, filled from the log, then switched in one transaction (G10).
//!
//! Each rebuild has a number, and tables, a checkpoint and a row in `fs_rebuilds` of its own; several may be under way at once.
//!
//! Invariants: queries never see a half-built table; the live projection goes on meanwhile. The switch takes the live
//! checkpoint's row, which stops a projection with one lane, then drops the live tables, which waits for the lanes of one with
//! several; every live transaction takes one of them first. Only then does it fold what is left up to the head of the log and
//! move the checkpoint there, beyond all that was handled: rows never go back in time, and a live batch of which a part went
//! with the old tables is handled anew or was folded here. A crash before the switch leaves the live table as it was; the next
//! rebuild starts again.
//!
//! A read model is folded in memory ([`filling`](crate::handler::filling)) as long as every event can be folded. When one cannot, the rebuild begins
//! again with batches as the live projection has them, which find out which event it is and hold it back with its followers.

mod background;
mod dependents;
pub(crate) mod leftovers;
mod switch;

use crate::app::App;
use crate::error::Error;
use crate::handler::Failure;
use crate::handler::tables::Managed;
use crate::health::Health;
use crate::kernel::generation::OWN;
use crate::leases::Present;
use crate::processor::amendments::Amendments;
use crate::processor::claim::Claim;
use crate::processor::delivery::Delivery;
use crate::processor::fault::refuse_store_failures;
use crate::processor::layout::Layouts;
use crate::processor::mark::{Move, Progress};
use crate::processor::shard::Shard;
use crate::processor::source::log::LogReader;
use crate::processor::source::{For, Reader as _};
use crate::processor::{Processor, Spec, checkpoint};
use crate::registry::{self, Build, Look};
use crate::tx::TableNames;
use background::{Ahead, PAGE_EVENTS, Writing};
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sql::{now, quoted};
use factstream_core::store::StoreError;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switch::Switched;
use tokio_util::sync::CancellationToken;

/// For so long the head is told as it was.
const HEAD_AGE_MAX: Duration = Duration::from_millis(100);
/// How often the switch is tried again when an event that came meanwhile fails to be handled, or the store is busy.
const SWITCHES_MAX: u32 = 100;
/// How often it begins again when somebody has decided about a dead letter meanwhile.
const AMENDED_MAX: u32 = 20;

/// How far a rebuild has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RebuildProgress {
    /// The position that the new table has come to.
    pub position: Position,
    /// The head of the log.
    pub head: Position,
    /// Events gone through each second.
    pub events_per_second: f64,
    /// Seconds that are left at this rate.
    pub seconds_left: f64,
}

impl App {
    /// Rebuilds a projection from the log beside its live tables, then switches. `progress` is told after each page.
    ///
    /// Other processes may run meanwhile, and run the projection, or rebuild it too: each rebuild has tables of its own. Dead
    /// letters of the projection are superseded by what the rebuild meets.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let app = shop().await;
    ///
    /// # app.execute("o-1", create()).await?;
    /// # app.settle().await;
    /// let rebuilt = app.rebuild("order_status", |at| println!("{} of {}", at.position, at.head)).await?;
    /// assert_eq!(rebuilt.position, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownProjection`]; [`Error::OtherBuild`] when another build runs the projection; [`Error::Superseded`] when
    /// another build took it over meanwhile; or what the store reports. The live tables are then as they were.
    pub async fn rebuild(
        &self,
        projection: &str,
        progress: impl FnMut(RebuildProgress) + Send,
    ) -> Result<RebuildProgress, Error> {
        if let Some(build) = self.build_of(projection)
            && let Look::Outdated(found) = registry::look(self.store().as_ref(), build).await?
        {
            return Err(Error::OtherBuild {
                handler: found.handler,
                service: found.service,
                generation: found.generation,
            });
        }
        self.rebuild_now(projection, progress).await
    }

    /// Rebuilds a projection and makes this build the one that runs it.
    pub(crate) async fn rebuild_now(
        &self,
        projection: &str,
        mut progress: impl FnMut(RebuildProgress) + Send,
    ) -> Result<RebuildProgress, Error> {
        let managed = self.managed().iter().find(|managed| managed.projection == projection);
        let spec = self.specs().iter().find(|spec| spec.handler == projection && spec.kind.reads_log());
        let (Some(managed), Some(spec), Some(build)) = (managed, spec, self.build_of(projection)) else {
            let known = self.projections().join(", ");
            return Err(Error::UnknownProjection { name: projection.to_owned(), known });
        };
        let present = Present::enter(self.store(), &self.service()).await?;
        let rebuilt = async {
            for _ in 0..AMENDED_MAX {
                let mut rebuild = Rebuild::begin(self, managed, spec, build, present.owner()).await?;
                let filled_to = rebuild.fill(&mut progress).await?;
                if filled_to.is_none() {
                    rebuild.give_up().await?;
                    rebuild = Rebuild::begin(self, managed, spec, build, present.owner()).await?;
                }
                match rebuild.run(filled_to.unwrap_or(0), &mut progress).await {
                    Ok(Some(done)) => return Ok(done),
                    Ok(None) => rebuild.give_up().await?,
                    Err(error) => {
                        let _ = rebuild.give_up().await; // else whoever rebuilds next clears it away
                        return Err(error);
                    }
                }
                tracing::info!(
                    projection,
                    "a dead letter was discarded or edited meanwhile; the rebuild begins again"
                );
            }
            Err(Error::Wiring(format!(
                "the rebuild of {projection} began again {AMENDED_MAX} times, for its dead letters were discarded or edited each \
                 time; rebuild it when that is done"
            )))
        };
        let rebuilt = rebuilt.await;
        present.leave().await;
        rebuilt
    }

    /// The names of the projections that can be rebuilt.
    pub fn projections(&self) -> Vec<String> {
        let fills =
            |name: &String| self.specs().iter().any(|spec| spec.handler == *name && spec.kind.reads_log());
        self.managed().iter().map(|managed| managed.projection.clone()).filter(fills).collect()
    }
}

struct Rebuild<'a> {
    app: &'a App,
    managed: &'a Managed,
    spec: &'a Spec,
    build: &'a Build,
    /// The build that ran the projection when this began.
    replaces: String,
    /// Its row in `fs_rebuilds`.
    number: u64,
    /// The name that the new tables' checkpoint and letters have until the switch.
    name: String,
    processor: Arc<Processor>,
    /// What was decided about events of the projection when this began.
    amendments: Amendments,
    started: Instant,
    /// The head of the log, and when it was asked for; 0 before that.
    head: (Position, Instant),
}

impl<'a> Rebuild<'a> {
    /// Clears away what dead processes left behind and makes the new tables.
    async fn begin(
        app: &'a App,
        managed: &'a Managed,
        spec: &'a Spec,
        build: &'a Build,
        owner: &str,
    ) -> Result<Self, Error> {
        let found = registry::find(app.store().as_ref(), &spec.handler).await?;
        let found = found.ok_or_else(|| Error::Superseded { handler: spec.handler.clone() })?;
        let mut tx = app.begin().await?;
        leftovers::clear(&mut tx, &spec.handler).await?;
        let sql = "UPDATE fs_counters SET value = value + 1 WHERE name = 'rebuild' RETURNING value";
        let rows = tx.query(sql, params![]).await?;
        let number: u64 = rows.first().map(|row| row.get("value")).transpose()?.unwrap_or(0);
        let (name, names) = (leftovers::name_of(number), TableNames::Staging(number));
        for table in &managed.tables {
            // What an earlier release of factstream may have left behind.
            let left = quoted(&format!("{}__rebuild", table.name));
            tx.sql(&format!("DROP TABLE IF EXISTS {left}"), params![]).await?;
            table.create(&mut tx, &names).await?;
        }
        let tables: Vec<String> = managed.tables.iter().map(|table| names.of(&table.name)).collect();
        let sql = "INSERT INTO fs_rebuilds (rebuild, handler, build, tables, owner, begun_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let tables = serde_json::to_string(&tables)
            .map_err(|source| Error::Encode { what: "a row of fs_rebuilds".into(), source })?;
        tx.sql(sql, params![number, &spec.handler, &build.id, tables, owner, now()]).await?;
        checkpoint::create(&mut tx, &name, OWN, 1, 0).await?;
        tx.commit().await?;
        let (health, claim) = (Arc::new(Health::new()), Claim::default());
        let processor = Processor::new(
            app.kernel(),
            spec,
            std::slice::from_ref(managed),
            claim,
            health,
            CancellationToken::new(),
        );
        let processor = Arc::new(processor.beside(name.clone(), names));
        let amendments = Amendments::load(app.store(), &spec.handler, 0).await?;
        let (started, replaces) = (Instant::now(), found.build);
        let head = (0, started);
        Ok(Self { app, managed, spec, build, replaces, number, name, processor, amendments, started, head })
    }

    /// Drops the new tables and forgets all that belongs to them.
    async fn give_up(&self) -> Result<(), Error> {
        let mut tx = self.app.begin().await?;
        leftovers::drop_one(&mut tx, self.number).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Folds the log in memory; the position that the new table has come to. `None` when an event, or a row, needs to be
    /// looked at alone.
    async fn fill(
        &mut self,
        progress: &mut (impl FnMut(RebuildProgress) + Send),
    ) -> Result<Option<Position>, Error> {
        let Some(mut filling) = self.spec.reaction.filling() else { return Ok(Some(0)) };
        let mut writing = Writing::new(Arc::clone(&self.processor));
        let mut at = 0;
        let mut ahead = Ahead::new(Arc::clone(self.app.store()));
        while let Some((mut page, last)) = ahead.next().await? {
            page.retain(|event| self.spec.reaction.handles(&event.event_type));
            let page = self.amendments.apply(page).await?;
            let folded = async {
                filling.fold(page)?;
                if filling.wants_rows() {
                    writing.settle().await?;
                    filling.load(&mut self.processor.begin().await?).await?;
                }
                Ok(())
            };
            if let Err(failure) = folded.await {
                return self.begin_again(writing, &failure).await;
            }
            at = last;
            if filling.is_full()
                && let Err(failure) = writing.begin(filling.let_go(false), at).await
            {
                return self.begin_again(writing, &failure).await;
            }
            progress(self.progress(at).await?);
        }
        let rest = async {
            writing.begin(filling.let_go(true), at).await?;
            writing.settle().await
        };
        match rest.await {
            Ok(()) => {
                let store = self.app.store().as_ref();
                checkpoint::move_alone(store, self.processor.place(), writing.written, at).await?;
                Ok(Some(at))
            }
            Err(failure) => self.begin_again(writing, &failure).await,
        }
    }

    /// A failure of the store, or another rebuild, ends this one; any other may be an event's.
    async fn begin_again(&self, mut writing: Writing, failure: &Failure) -> Result<Option<Position>, Error> {
        refuse_store_failures(failure)?;
        let superseded = |error: &(dyn std::error::Error + 'static)| {
            matches!(error.downcast_ref(), Some(Error::Superseded { .. }))
        };
        if failure.errors().any(superseded) {
            return Err(self.superseded());
        }
        let _ = writing.settle().await; // whatever came of it goes with its table, but not into the next
        tracing::warn!(projection = %self.spec.handler, ?failure, "the rebuild begins again, event by event where one fails");
        Ok(None)
    }

    /// Handles what is left and switches. `None` when somebody has decided about an event that lies behind: what is folded by now
    /// may not fit that.
    async fn run(
        &mut self,
        mut at: Position,
        progress: &mut (impl FnMut(RebuildProgress) + Send),
    ) -> Result<Option<RebuildProgress>, Error> {
        let store = Arc::clone(self.app.store());
        let amendments = Amendments::load(&store, &self.spec.handler, 0).await?;
        let mut reader = LogReader {
            history: store.history(),
            store,
            read_to: at,
            shard: Shard::WHOLE,
            layouts: Layouts::default(),
            amendments,
            of: For {
                reaction: Arc::clone(&self.spec.reaction),
                service: Arc::clone(&self.app.kernel().service),
            },
        };
        let mut busy = None;
        for _ in 0..SWITCHES_MAX {
            while let Some(batch) = reader.next(PAGE_EVENTS, Duration::ZERO).await? {
                let to = reader.read_to;
                self.processor.take_page(&batch.deliveries, at, to).await?;
                at = to;
                progress(self.progress(at).await?);
            }
            match self.switch(at).await {
                Ok(Switched::At(switched_at)) => return self.progress(switched_at).await.map(Some),
                Ok(Switched::Amended) => return Ok(None),
                Ok(Switched::EventFails) => busy = None,
                // A deadlock with whoever holds a letter, or a handler that takes long. Nothing has changed.
                Err(Error::Store(error @ (StoreError::Busy(_) | StoreError::Contention(_)))) => {
                    tracing::debug!(projection = %self.spec.handler, %error, "the switch is tried again");
                    busy = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = busy {
            return Err(error.into());
        }
        Err(Error::Wiring(format!(
            "the rebuild of {} could not switch: an event that came meanwhile fails each time; look at its dead letters",
            self.spec.handler
        )))
    }

    async fn progress(&mut self, position: Position) -> Result<RebuildProgress, Error> {
        let head = self.head(position).await?;
        let events_per_second = position as f64 / self.started.elapsed().as_secs_f64().max(1e-6);
        let seconds_left = (head - position) as f64 / events_per_second.max(1e-6);
        Ok(RebuildProgress { position, head, events_per_second, seconds_left })
    }

    /// The head of the log, at or beyond a position. It is asked for again now and then, for a page takes no longer than asking.
    async fn head(&mut self, position: Position) -> Result<Position, Error> {
        let (head, asked) = self.head;
        if position >= head || asked.elapsed() >= HEAD_AGE_MAX {
            self.head = (self.app.head().await?.max(position), Instant::now());
        }
        Ok(self.head.0)
    }

    fn superseded(&self) -> Error {
        Error::Superseded { handler: self.spec.handler.clone() }
    }
}

impl Processor {
    /// Handles a page of a rebuild and moves its checkpoint, also when none of its events is this projection's.
    async fn take_page(&self, page: &[Delivery], from: Position, to: Position) -> Result<(), Error> {
        if page.is_empty() {
            return checkpoint::move_alone(self.store().as_ref(), self.place(), from, to).await;
        }
        self.handle_batch(page, Progress::Checkpoint(Move { from, to })).await?;
        if self.has_lanes() {
            checkpoint::move_alone(self.store().as_ref(), self.place(), from, to).await?;
        }
        Ok(())
    }
}
