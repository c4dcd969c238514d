//! What comes to a process by an alias: whose it is, and what becomes of what came before anybody had the alias.
//!
//! An alias is given in a reaction, so an event may give one that a later event of its batch comes by. With one lane the reaction finds out
//! in the transaction itself. Lanes need the key before: what comes by an alias that is not known waits until all before it is handled.
//!
//! Invariants: an alias that stands for a key does so for good. What waits under an alias is moved behind its key in the transaction
//! that gives it, so nothing of that key overtakes it.

use super::Processor;
use super::delivery::Delivery;
use super::letters::{self, Letter};
use super::unit;
use crate::error::Error;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::params;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};

impl Processor {
    /// Finds out whose those are that came by an alias.
    pub(super) async fn know_aliases(&self, slice: &[&Delivery]) -> Result<(), Error> {
        if !self.is_process {
            return Ok(());
        }
        let unknown: BTreeSet<&str> = slice.iter().filter_map(|delivery| delivery.unknown_alias()).collect();
        let known = self.keys_of(&unknown).await?;
        if known.is_empty() {
            return Ok(());
        }
        for delivery in slice {
            if let Some(key) = delivery.unknown_alias().and_then(|alias| known.get(alias)) {
                let _ = delivery.alias_of.set(key.clone());
            }
        }
        Ok(())
    }

    async fn keys_of(&self, aliases: &BTreeSet<&str>) -> Result<HashMap<String, String>, Error> {
        match aliases.is_empty() {
            true => Ok(HashMap::new()),
            false => self.reaction.keys_of_aliases(aliases, self.store.as_ref()).await,
        }
    }

    /// How many of a wave, which is not empty, may be handled at once: those whose keys are known, or those that are known to have none
    /// yet, which give no alias to each other.
    pub(super) async fn of_known_keys(&self, wave: &[&Delivery]) -> Result<usize, Error> {
        if !self.is_process {
            return Ok(wave.len());
        }
        self.know_aliases(wave).await?;
        let first = wave[0].unknown_alias().is_some();
        Ok(wave.iter().take_while(|delivery| delivery.unknown_alias().is_some() == first).count())
    }

    /// Moves a letter that waits under an alias which somebody has by now: an owner that was paused may not have seen it wait. It is taken up
    /// under its key.
    pub(super) async fn follow_alias(&self, letter: &Letter) -> Result<bool, Error> {
        if !self.is_process || unit::alias_of(&letter.unit).is_none() {
            return Ok(false);
        }
        let known = self.keys_of(&BTreeSet::from([letter.unit.as_str()])).await?;
        let Some(key) = known.get(&letter.unit) else { return Ok(false) };
        let mut tx = self.begin().await?;
        self.stay_live(&mut tx).await?;
        if letters::claim(&mut tx, letter).await? {
            move_letters(&mut tx, &self.name, &[(letter.unit.as_str(), key)]).await?;
            tx.commit().await?;
            self.plan_retry(self.kernel.clock.now());
        }
        Ok(true)
    }
}

/// Moves what waits under each alias behind what waits under the key that it is given to; the keys under which something waits now.
pub(crate) async fn move_letters<'k>(
    tx: &mut Tx,
    handler: &str,
    given: &[(&str, &'k str)],
) -> Result<Vec<&'k str>, Error> {
    let freed = "DELETE FROM fs_blocked_keys WHERE handler = $1 AND event_key = $2";
    let rows = given.iter().map(|(alias, _)| params![handler, *alias]).collect();
    let touched = tx.sql_many(freed, rows).await?;
    let mut moved = Vec::new();
    for ((alias, key), _) in given.iter().zip(touched).filter(|(_, touched)| *touched > 0) {
        move_behind(tx, handler, alias, key).await?;
        moved.push(*key);
    }
    Ok(moved)
}

async fn move_behind(tx: &mut Tx, handler: &str, alias: &str, key: &str) -> Result<(), Error> {
    let now = tx.kernel().clock.now();
    let waiting = tx.query(sql::SELECT_FIRST_WAITING, params![handler, alias]).await?;
    let Some(first) = waiting.first().map(|row| row.get::<u64>("id")).transpose()? else { return Ok(()) };
    let moved = tx.sql(sql::MOVE_BEHIND, params![handler, alias, key, now]).await?;
    let known = json!({ "alias": unit::shown(alias, ""), "key": key });
    letters::add_history(tx, first, "redrive", &known).await?;
    let parked = "UPDATE fs_blocked_keys SET parked = parked + $3 WHERE handler = $1 AND event_key = $2";
    if tx.sql(parked, params![handler, key, moved]).await? > 0 {
        return Ok(());
    }
    let head = "UPDATE fs_dead_letters SET state = 'retrying' WHERE id = $1";
    tx.sql(head, params![first]).await?;
    tx.sql(sql::BLOCK_KEY, params![handler, key, first, now, None::<String>]).await?;
    tx.sql(parked, params![handler, key, moved - 1]).await?;
    Ok(())
}
