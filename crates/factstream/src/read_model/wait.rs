//! Read your writes: waiting until the rows show a position of the log (G11).

use crate::app::App;
use crate::error::Error;
use crate::handler::tables;
use crate::processor::shard::Shard;
use crate::processor::{HandlerKind, Spec, checkpoint};
use crate::read_model::rows::order_of;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::read_model::RowKey;
use std::time::Duration;
use tokio::time::Instant;

/// How often another process's progress is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What fills a table, and what is waited for.
pub(super) struct Wait<'a> {
    app: &'a App,
    table: &'static str,
    handler: String,
    /// The handler, or its first part, where this process runs it.
    declared: Option<String>,
    shards: u32,
    /// In whose order the events of the row stand that is wanted, where one is and that is known.
    order: Option<String>,
    /// The key by which the row's part is found, where the rows are divided by it.
    part: Option<String>,
    position: Position,
    deadline: Duration,
}

impl<'a> Wait<'a> {
    /// Waits until the position is in the rows: the checkpoint is there, and the event is not parked.
    pub(super) async fn until(
        app: &'a App,
        table: &'static str,
        key: Option<&RowKey>,
        position: Position,
        deadline: Duration,
    ) -> Result<(), Error> {
        let declared =
            app.managed().iter().find(|managed| managed.tables.iter().any(|own| own.name == table));
        let spec =
            declared.and_then(|declared| app.specs().iter().find(|spec| spec.handler == declared.projection));
        if spec.is_some_and(|spec| !spec.kind.reads_log()) {
            return Err(Error::Wiring(format!(
                "{table} is filled by a consumer, whose progress is no position of the log: wait_for works on read models \
                 and projections"
            )));
        }
        let handler = match spec {
            Some(spec) => spec.handler.clone(),
            // Another process fills it.
            None => tables::owner(app.store().as_ref(), table).await?.unwrap_or_else(|| table.to_owned()),
        };
        let shards = match spec {
            Some(spec) => spec.options.shards,
            None => checkpoint::live(app.store().as_ref(), &handler).await?.positions.len().max(1) as u32,
        };
        let is_fold = spec.is_none_or(|spec| spec.kind == HandlerKind::ReadModel);
        let one_order = |spec: &Spec| spec.reaction.one_order().map(str::to_owned);
        let order = spec.and_then(one_order).or_else(|| key.filter(|_| is_fold).map(order_of));
        let part = match key {
            Some(RowKey::Text(key)) if is_fold => Some(key.clone()),
            _ => None,
        };
        let declared = spec.map(|spec| spec.name.clone());
        Wait { app, table, handler, declared, shards, order, part, position, deadline }.run().await
    }

    async fn run(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.deadline;
        // The part that the row is in; all of them for a list.
        let parts: Vec<Shard> = match &self.part {
            Some(key) => vec![Shard::of_key(key, self.shards)],
            None => Shard::all(self.shards).collect(),
        };
        let mut parts = parts.into_iter().map(|shard| shard.name(&self.handler));
        let first = parts.next().unwrap_or_else(|| self.handler.clone());
        let mut follow = self.app.progress().follow(&first);
        loop {
            let here = *follow.borrow_and_update();
            let reached = match here >= self.position {
                true => here,
                false => self.reached().await?.max(here),
            };
            if reached >= self.position
                && let Some(next) = parts.next()
            {
                follow = self.app.progress().follow(&next);
                continue;
            }
            let held = match reached >= self.position {
                true => self.held_letter().await?,
                false => None,
            };
            if reached >= self.position && held.is_none() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.behind(reached, held));
            }
            let look_again = deadline.min(Instant::now() + POLL_INTERVAL);
            let _ = tokio::time::timeout_at(look_again, follow.changed()).await;
        }
    }

    /// How far the rows are in the store: those of one key where the live division into shards is this build's, else the slowest.
    async fn reached(&self) -> Result<Position, Error> {
        let live = checkpoint::live(self.app.store().as_ref(), &self.handler).await?;
        Ok(match &self.part {
            Some(key) if live.positions.len() == self.shards as usize => {
                live.positions[Shard::of_key(key, self.shards).index() as usize]
            }
            _ => live.slowest(),
        })
    }

    fn behind(&self, reached: Position, held: Option<u64>) -> Error {
        let hint = match held {
            Some(letter) => {
                format!("dead letter {letter} holds it up: look at it, then redrive, edit or discard it")
            }
            None => self.app.healths().hint(self.declared.as_deref()).to_owned(),
        };
        let (read_model, position, waited) = (self.table.to_owned(), self.position, self.deadline);
        Error::WaitTimedOut { read_model, position, reached, waited, hint }
    }

    /// The event that holds up the position: the one itself, or an earlier one in the row's order.
    async fn held_letter(&self) -> Result<Option<u64>, Error> {
        let sql = "SELECT b.head_id FROM fs_blocked_keys b JOIN fs_dead_letters l \
                   ON l.handler = b.handler AND l.event_key = b.event_key \
                   WHERE b.handler = $1 AND l.state IN ('retrying', 'waiting', 'dead', 'parked') \
                   AND (l.position = $2 OR (l.position < $2 AND b.event_key = $3)) LIMIT 1";
        let params = params![&self.handler, self.position, self.order.clone()];
        let rows = self.app.store().query(sql, params).await?;
        Ok(rows.first().map(|row| row.get("head_id")).transpose()?)
    }
}
