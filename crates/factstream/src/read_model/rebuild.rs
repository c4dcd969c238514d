//! Rebuilds: a new table beside the live one, filled from the log, then switched in one transaction (G10).
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

use super::fill::Unwritten;
use super::table::{Managed, quoted};
use crate::app::App;
use crate::error::Error;
use crate::handler::Failure;
use crate::processor::checkpoint::{move_params, move_statement};
use crate::processor::delivery::Delivery;
use crate::processor::fault::refuse_store_failures;
use crate::processor::shard::Shard;
use crate::processor::source::{End, Log, Source};
use crate::processor::{Processor, Spec, checkpoint};
use crate::statements as sql;
use crate::status::Health;
use crate::supervisor::joined;
use crate::tx::{TableNames, Tx};
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::params;
use factstream_core::sql::now;
use factstream_core::store::{Store, StoreError};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const PAGE_EVENTS: usize = 1_000;
/// Pages that are read and wait to be folded (G13).
const PAGES_AHEAD: usize = 4;
/// For so long the head is told as it was.
const HEAD_AGE_MAX: Duration = Duration::from_millis(100);
/// How often the switch is tried again when an event that came meanwhile fails to be handled, or the store is busy.
const SWITCHES_MAX: u32 = 100;

/// How far a rebuild has come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
    /// Other processes may run meanwhile, and run the projection. Dead letters of the projection are superseded by what
    /// the rebuild meets.
    ///
    /// # Errors
    /// [`Error::UnknownProjection`], [`Error::Superseded`] when another rebuild of it has begun meanwhile, or what the
    /// store reports; the live tables are then as they were.
    pub async fn rebuild(
        &self,
        projection: &str,
        mut progress: impl FnMut(RebuildProgress) + Send,
    ) -> Result<RebuildProgress, Error> {
        let managed = self.managed().iter().find(|managed| managed.projection == projection);
        let spec = self.specs().iter().find(|spec| spec.handler == projection);
        let (Some(managed), Some(spec)) = (managed, spec) else {
            let known: Vec<&str> = self.managed().iter().map(|managed| managed.projection.as_str()).collect();
            return Err(Error::UnknownProjection { name: projection.to_owned(), known: known.join(", ") });
        };
        let mut rebuild = Rebuild::begin(self, managed, spec).await?;
        let filled_to = rebuild.fill(&mut progress).await?;
        if filled_to.is_none() {
            rebuild = Rebuild::begin(self, managed, spec).await?;
        }
        rebuild.run(filled_to.unwrap_or(0), &mut progress).await
    }

    /// The names of the projections that can be rebuilt.
    pub fn projections(&self) -> Vec<String> {
        self.managed().iter().map(|managed| managed.projection.clone()).collect()
    }
}

struct Rebuild<'a> {
    app: &'a App,
    managed: &'a Managed,
    spec: &'a Spec,
    /// The name that the new tables' checkpoint and letters have until the switch.
    name: String,
    processor: Arc<Processor>,
    started: Instant,
    /// The head of the log, and when it was asked for; 0 before that.
    head: (Position, Instant),
}

impl<'a> Rebuild<'a> {
    /// Clears what an earlier rebuild left behind and makes the new tables.
    async fn begin(app: &'a App, managed: &'a Managed, spec: &'a Spec) -> Result<Self, Error> {
        let name = format!("{} (rebuild)", spec.handler);
        let mut tx = app.begin().await?;
        for table in &managed.tables {
            let beside = quoted(&TableNames::Beside.of(&table.name));
            tx.execute(&format!("DROP TABLE IF EXISTS {beside}"), params![]).await?;
            table.create(&mut tx, &TableNames::Beside).await?;
        }
        forget(&mut tx, &name).await?;
        let sql = "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES ($1, 0, $2)";
        tx.execute(sql, params![&name, now()]).await?;
        tx.commit().await?;
        let health = Arc::new(Health::new());
        let processor = Processor::new(app, spec, health, CancellationToken::new()).beside(name.clone());
        let processor = Arc::new(processor);
        let started = Instant::now();
        Ok(Self { app, managed, spec, name, processor, started, head: (0, started) })
    }

    /// Folds the log in memory; the position that the new table has come to. `None` when an event, or a row, needs to be
    /// looked at alone.
    async fn fill(
        &mut self,
        progress: &mut (impl FnMut(RebuildProgress) + Send),
    ) -> Result<Option<Position>, Error> {
        let Some(mut filling) = self.spec.reaction.filling() else { return Ok(Some(0)) };
        let mut writing = Writing { processor: Arc::clone(&self.processor), written: 0, under_way: None };
        let mut at = 0;
        let mut ahead = Ahead::new(Arc::clone(self.app.store()));
        while let Some((mut page, last)) = ahead.next().await? {
            page.retain(|event| self.spec.reaction.handles(&event.event_type));
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
                checkpoint::move_alone(self.app.store().as_ref(), &self.name, writing.written, at).await?;
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
            return Err(Error::Superseded { handler: self.name.clone() });
        }
        let _ = writing.settle().await; // whatever came of it goes with its table, but not into the next
        tracing::warn!(projection = %self.spec.handler, ?failure, "the rebuild begins again, event by event where one fails");
        Ok(None)
    }

    async fn run(
        &mut self,
        mut at: Position,
        progress: &mut (impl FnMut(RebuildProgress) + Send),
    ) -> Result<RebuildProgress, Error> {
        let store = Arc::clone(self.app.store());
        let mut source =
            Source::Log(Log { history: store.history(), store, read_to: at, shard: Shard::WHOLE });
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
                Ok(Some(switched_at)) => return self.progress(switched_at).await,
                Ok(None) => busy = None,
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
            self.head = (self.app.position().await?.max(position), Instant::now());
        }
        Ok(self.head.0)
    }

    /// Switches, in one transaction, and says at which position. `None` when an event of the last stretch fails: it must be
    /// held first.
    async fn switch(&self, at: Position) -> Result<Option<Position>, Error> {
        let mut tx = self.processor.begin().await?;
        self.lock_live(&mut tx).await?;
        // Most of what is left while the live rows can still be read, and then what lanes have handled meanwhile.
        let Some(at) = self.fold_to_head(&mut tx, at).await? else { return Ok(None) };
        for table in &self.managed.tables {
            tx.execute(&format!("DROP TABLE IF EXISTS {}", quoted(&table.name)), params![]).await?;
        }
        let Some(at) = self.fold_to_head(&mut tx, at).await? else { return Ok(None) };
        for table in &self.managed.tables {
            let (live, beside) = (quoted(&table.name), quoted(&TableNames::Beside.of(&table.name)));
            tx.execute(&format!("ALTER TABLE {beside} RENAME TO {live}"), params![]).await?;
            table.finish(&mut tx).await?;
        }
        self.hand_over(&mut tx, at).await?;
        tx.commit().await?;
        Ok(Some(at))
    }

    /// Folds what is in the log after a position; the new position, or `None` when an event fails.
    async fn fold_to_head(&self, tx: &mut Tx, at: Position) -> Result<Option<Position>, Error> {
        let rows = tx.query("SELECT COALESCE(max(position), 0) AS head FROM events", params![]).await?;
        let head = rows.first().map(|row| row.get::<Position>("head")).transpose()?.unwrap_or(0).max(at);
        let rows = tx.query(sql::SELECT_LOG_STRETCH, params![at, head]).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in &rows {
            let event = sql::recorded_event(row)?;
            if self.spec.reaction.handles(&event.event_type) {
                deliveries.push(Delivery::of_event(event, self.spec.reaction.as_ref(), &self.app.service()));
            }
        }
        let slice: Vec<&Delivery> = deliveries.iter().collect();
        Ok(self.processor.react(tx, &slice).await?.is_ok().then_some(head))
    }

    /// Takes the rows of the live checkpoints, so that a live projection with one lane waits, and none moves them.
    async fn lock_live(&self, tx: &mut Tx) -> Result<(), Error> {
        for part in self.parts() {
            let sql = "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES ($1, 0, $2) \
                       ON CONFLICT (handler) DO UPDATE SET updated_at = excluded.updated_at";
            tx.execute(sql, params![&part, now()]).await?;
        }
        let rows = tx.query("SELECT 1 FROM fs_checkpoints WHERE handler = $1", params![&self.name]).await?;
        if rows.is_empty() { Err(Error::Superseded { handler: self.name.clone() }) } else { Ok(()) }
    }

    /// What the checkpoints of the live projection are called.
    fn parts(&self) -> impl Iterator<Item = String> {
        Shard::all(self.spec.shard.count()).map(|shard| shard.name(&self.spec.handler))
    }

    /// The rebuild's checkpoint, inbox and letters become the live ones.
    async fn hand_over(&self, tx: &mut Tx, position: Position) -> Result<(), Error> {
        let (live, name) = (&self.spec.handler, &self.name);
        forget(tx, live).await?;
        for table in ["fs_inbox", "fs_blocked_keys", "fs_dead_letters"] {
            tx.execute(&format!("UPDATE {table} SET handler = $1 WHERE handler = $2"), params![live, name])
                .await?;
        }
        tx.execute("DELETE FROM fs_checkpoints WHERE handler = $1", params![name]).await?;
        let sql = "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES ($1, $2, $3)";
        for part in self.parts() {
            tx.execute(sql, params![part, position, now()]).await?;
        }
        Ok(())
    }
}

/// Reads the log from its beginning, some pages ahead of those who fold them.
struct Ahead {
    pages: mpsc::Receiver<(Vec<RecordedEvent>, Position)>,
    reader: AbortOnDropHandle<Result<(), StoreError>>,
}

impl Ahead {
    fn new(store: Arc<dyn Store>) -> Self {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let reader = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut at = 0;
            loop {
                let page = store.read_log(at, PAGE_EVENTS).await?;
                let Some(last) = page.last() else { return Ok(()) };
                at = last.position;
                if sender.send((page, at)).await.is_err() {
                    return Ok(()); // nobody wants them any more
                }
            }
        }));
        Self { pages, reader }
    }

    /// The next page and the position of its last event; `None` where the log ended when it was looked at.
    async fn next(&mut self) -> Result<Option<(Vec<RecordedEvent>, Position)>, StoreError> {
        match self.pages.recv().await {
            Some(page) => Ok(Some(page)),
            None => joined((&mut self.reader).await).map(|()| None),
        }
    }
}

/// Writes rows in the background, one lot after the other.
struct Writing {
    processor: Arc<Processor>,
    /// Where the rebuild's checkpoint stands. It moves with each lot: a rebuild that another one has superseded ends there.
    written: Position,
    under_way: Option<AbortOnDropHandle<Result<(), Failure>>>,
}

impl Writing {
    /// Begins to write a lot, when the one before is written.
    async fn begin(&mut self, lot: Vec<Box<dyn Unwritten>>, to: Position) -> Result<(), Failure> {
        self.settle().await?;
        let (processor, mut from) = (Arc::clone(&self.processor), self.written);
        self.written = if lot.is_empty() { from } else { to };
        self.under_way = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            for part in lot {
                let mut tx = processor.begin().await?;
                if tx.execute(move_statement(), move_params(processor.name(), from, to)).await? == 0 {
                    return Err(Error::Superseded { handler: processor.name().to_owned() }.into());
                }
                part.write(&mut tx).await?;
                tx.commit().await?;
                from = to;
            }
            Ok(())
        })));
        Ok(())
    }

    /// Waits until everything is written.
    async fn settle(&mut self) -> Result<(), Failure> {
        match self.under_way.take() {
            Some(under_way) => joined(under_way.await),
            None => Ok(()),
        }
    }
}

/// Forgets how far a handler has come and what waits for it; dead letters stay on record as superseded.
async fn forget(tx: &mut Tx, handler: &str) -> Result<(), Error> {
    let sql = "UPDATE fs_dead_letters SET state = 'superseded', updated_at = $2 WHERE handler = $1 AND state = 'dead'";
    tx.execute(sql, params![handler, now()]).await?;
    for sql in [
        "DELETE FROM fs_dead_letters WHERE handler = $1 AND state IN ('retrying', 'parked')",
        "DELETE FROM fs_blocked_keys WHERE handler = $1",
        "DELETE FROM fs_inbox WHERE handler = $1",
        // Its shards', too, however many there were.
        "DELETE FROM fs_checkpoints WHERE handler = $1 OR substr(handler, 1, length($1) + 1) = $1 || '#'",
    ] {
        tx.execute(sql, params![handler]).await?;
    }
    Ok(())
}

impl Processor {
    /// Handles a page of a rebuild and moves its checkpoint, also when none of its events is this projection's.
    async fn take_page(&self, page: &[Delivery], from: Position, to: Position) -> Result<(), Error> {
        let moves = crate::processor::batch::Move { from, to };
        if page.is_empty() {
            return checkpoint::move_alone(self.store().as_ref(), self.name(), from, to).await;
        }
        self.handle_batch(page, Some(moves)).await?;
        if self.has_lanes() {
            checkpoint::move_alone(self.store().as_ref(), self.name(), from, to).await?;
        }
        Ok(())
    }
}
