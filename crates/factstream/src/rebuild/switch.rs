//! The switch of a rebuild: the new tables take the place of the live ones, in one transaction (G10).

use super::dependents::TakenOff;
use super::{Rebuild, leftovers};
use crate::error::Error;
use crate::processor::amendments;
use crate::processor::checkpoint::{self, move_params, move_statement};
use crate::processor::delivery::Delivery;
use crate::registry::{self, Registered};
use crate::statements as sql;
use crate::tx::{TableNames, Tx};
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::{now, quoted};

/// What came of a switch.
pub(super) enum Switched {
    At(Position),
    /// An event of the last stretch fails: it must be held first.
    EventFails,
    /// Somebody has decided about an event.
    Amended,
}

impl Rebuild<'_> {
    /// Switches, in one transaction, if it can.
    pub(super) async fn switch(&self, at: Position) -> Result<Switched, Error> {
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
