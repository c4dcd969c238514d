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
//! A read model is folded in memory ([`super::fill`]) as long as every event can be folded. When one cannot, the rebuild begins
//! again with batches as the live projection has them, which find out which event it is and hold it back with its followers.

mod background;

use super::dependents::TakenOff;
use super::leftovers;
use super::table::{Managed, quoted};
use crate::app::App;
use crate::error::Error;
use crate::handler::Failure;
use crate::leases::Present;
use crate::processor::amendments::{self, Amendments};
use crate::processor::batch::{Move, Progress};
use crate::processor::checkpoint::{move_params, move_statement};
use crate::processor::delivery::Delivery;
use crate::processor::fault::refuse_store_failures;
use crate::processor::shard::Shard;
use crate::processor::source::{End, Log, Source};
use crate::processor::{HandlerKind, Processor, Spec, checkpoint};
use crate::registry::{self, Build, Claim, Layouts, Look, OWN, Registered};
use crate::statements as sql;
use crate::status::Health;
use crate::tx::{TableNames, Tx};
use background::{Ahead, PAGE_EVENTS, Writing};
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::now;
use factstream_core::store::StoreError;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
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
        let spec =
            self.specs().iter().find(|spec| spec.handler == projection && spec.kind != HandlerKind::Consumer);
        let (Some(managed), Some(spec), Some(build)) = (managed, spec, self.build_of(projection)) else {
            let known = self.projections().join(", ");
            return Err(Error::UnknownProjection { name: projection.to_owned(), known });
        };
        let present = Present::enter(self).await?;
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
        let fills = |name: &String| {
            self.specs().iter().any(|spec| spec.handler == *name && spec.kind != HandlerKind::Consumer)
        };
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
        let processor = Processor::new(app, spec, claim, health, CancellationToken::new());
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
        let mut source = Source::Log(Log {
            history: store.history(),
            store,
            read_to: at,
            shard: Shard::WHOLE,
            layouts: Layouts::default(),
            amendments,
        });
        let mut busy = None;
        for _ in 0..SWITCHES_MAX {
            let service = self.app.service();
            while let Some(batch) =
                source.next(PAGE_EVENTS, Duration::ZERO, &self.spec.reaction, &service).await?
            {
                let End::Log(to) = batch.end else { continue };
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

    /// Switches, in one transaction, if it can.
    async fn switch(&self, at: Position) -> Result<Switched, Error> {
        let mut tx = self.processor.begin().await?;
        let found = self.lock_live(&mut tx).await?;
        if !self.amendments.are_all(&mut tx).await? {
            return Ok(Switched::Amended);
        }
        let names = self.lock_own(&mut tx, at).await?;
        // Most of what is left while the live rows can still be read, and then what lanes have handled meanwhile.
        let Some(at) = self.fold_to_head(&mut tx, at).await? else { return Ok(Switched::EventFails) };
        let taken = TakenOff::take_off(&mut tx, self.managed).await?;
        for table in &self.managed.tables {
            tx.sql(&format!("DROP TABLE IF EXISTS {}", quoted(&table.name)), params![]).await?;
        }
        let Some(at) = self.fold_to_head(&mut tx, at).await? else { return Ok(Switched::EventFails) };
        for table in &self.managed.tables {
            let (live, beside) = (quoted(&table.name), quoted(&names.of(&table.name)));
            tx.sql(&format!("ALTER TABLE {beside} RENAME TO {live}"), params![]).await?;
            table.finish(&mut tx, &self.spec.handler).await?;
        }
        taken.put_on(&mut tx).await?;
        self.hand_over(&mut tx, &found, at).await?;
        tx.commit().await?;
        Ok(Switched::At(at))
    }

    /// Folds what is in the log after a position; the new position, or `None` when an event fails.
    async fn fold_to_head(&self, tx: &mut Tx, at: Position) -> Result<Option<Position>, Error> {
        let rows = tx.query("SELECT COALESCE(max(position), 0) AS head FROM events", params![]).await?;
        let head = rows.first().map(|row| row.get::<Position>("head")).transpose()?.unwrap_or(0).max(at);
        let rows = tx.query(sql::SELECT_LOG_STRETCH, params![at, head]).await?;
        let events = rows.iter().map(sql::recorded_event).collect::<Result<Vec<_>, _>>()?;
        let mine = events.into_iter().filter(|event| self.spec.reaction.handles(&event.event_type)).collect();
        let mine = self.amendments.apply(mine).await?;
        let of_event = |event| Delivery::of_event(event, self.spec.reaction.as_ref(), &self.app.service());
        let deliveries: Vec<Delivery> = mine.into_iter().map(of_event).collect();
        let slice: Vec<&Delivery> = deliveries.iter().collect();
        Ok(self.processor.react(tx, &slice).await?.is_ok().then_some(head))
    }

    /// Takes the handler's row and those of its live checkpoints, so that a live projection with one lane waits, and nobody moves
    /// them or takes the handler over. Refused when another build has done so since this rebuild began.
    async fn lock_live(&self, tx: &mut Tx) -> Result<Registered, Error> {
        let found = registry::lock_found(tx, &self.spec.handler).await?;
        let is_expected = found.build == self.replaces || found.build == self.build.id;
        if !is_expected && !is_on(Sabotage::SwitchAnyRebuild) {
            return Err(self.superseded());
        }
        let sql = "UPDATE fs_checkpoints SET updated_at = $3 WHERE handler = $1 AND generation = $2";
        tx.sql(sql, params![&found.handler, found.generation, now()]).await?;
        Ok(found)
    }

    /// Makes sure that the new tables are this rebuild's own and filled up to here; what they are called.
    async fn lock_own(&self, tx: &mut Tx, at: Position) -> Result<TableNames, Error> {
        if is_on(Sabotage::SwitchAnyRebuild) {
            let sql = "SELECT coalesce(max(rebuild), 0) AS newest FROM fs_rebuilds WHERE handler = $1";
            let rows = tx.query(sql, params![&self.spec.handler]).await?;
            let newest = rows.first().map(|row| row.get("newest")).transpose()?.unwrap_or(self.number);
            return Ok(TableNames::Staging(newest));
        }
        let place = self.processor.place();
        match tx.sql(move_statement(), move_params(place, at, at)).await? {
            0 => Err(self.superseded()),
            _ => Ok(TableNames::Staging(self.number)),
        }
    }

    fn superseded(&self) -> Error {
        Error::Superseded { handler: self.spec.handler.clone() }
    }

    /// The rebuild's checkpoint, inbox and letters become the live ones, under the next generation.
    async fn hand_over(&self, tx: &mut Tx, found: &Registered, position: Position) -> Result<(), Error> {
        let (live, name, generation) = (&self.spec.handler, &self.name, found.generation + 1);
        leftovers::forget(tx, live).await?;
        for table in ["fs_inbox", "fs_blocked_keys", "fs_dead_letters"] {
            tx.sql(&format!("UPDATE {table} SET handler = $1 WHERE handler = $2"), params![live, name])
                .await?;
        }
        amendments::hand_over(tx, live, name).await?; // after the letters: whoever decides about one holds its row
        checkpoint::create(tx, live, generation, self.build.shards, position).await?;
        checkpoint::forget_others(tx, live, generation).await?;
        registry::finish(tx, self.build, found, generation).await?;
        let sql = "DELETE FROM fs_checkpoints WHERE handler = $1";
        tx.sql(sql, params![name]).await?;
        tx.sql("DELETE FROM fs_rebuilds WHERE rebuild = $1", params![self.number]).await?;
        Ok(())
    }
}

/// What came of a switch.
enum Switched {
    At(Position),
    /// An event of the last stretch fails: it must be held first.
    EventFails,
    /// Somebody has decided about an event.
    Amended,
}

impl Processor {
    /// Handles a page of a rebuild and moves its checkpoint, also when none of its events is this projection's.
    async fn take_page(&self, page: &[Delivery], from: Position, to: Position) -> Result<(), Error> {
        if page.is_empty() {
            return checkpoint::move_alone(self.store().as_ref(), self.place(), from, to).await;
        }
        self.handle_batch(page, Progress::Log(Move { from, to })).await?;
        if self.has_lanes() {
            checkpoint::move_alone(self.store().as_ref(), self.place(), from, to).await?;
        }
        Ok(())
    }
}
