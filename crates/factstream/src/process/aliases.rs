//! The aliases of a batch: those that its events come by, and those that its reactions give.
//!
//! Invariants: an alias has one owner, for good. It is written, and what waited for it is moved behind its owner's key, in the transaction of
//! the reaction that gives it.

use super::alias::Alias;
use super::correlate::To;
use crate::error::Error;
use crate::handler::Failure;
use crate::handler::reaction::BatchFailure;
use crate::processor::aliases::move_letters;
use crate::processor::unit;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::params;
use factstream_core::sql::{Params, Row, RowError};
use factstream_core::store::{Store, StoreError, TableRows};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Aliases that one query names, a power of two.
const ALIASES_PER_QUERY: usize = 512;

/// Aliases by their keys.
#[derive(Default)]
pub(super) struct Aliases {
    owners: BTreeMap<String, String>,
    /// Given since the last were written.
    given: Vec<Given>,
    /// Instances that had inputs waiting for one of their new aliases: what else the batch has for them comes after these.
    joined: BTreeSet<String>,
}

struct Given {
    alias: Alias,
    id: String,
    /// The place of the input in the batch.
    at: usize,
}

impl Aliases {
    /// Those with these keys.
    pub(super) async fn load(process: &str, keys: &BTreeSet<&str>, tx: &mut Tx) -> Result<Self, Failure> {
        let mut aliases = Self::default();
        aliases.learn(process, keys, tx).await?;
        Ok(aliases)
    }

    /// The instance, where it is known.
    pub(super) fn id_of<'a>(&'a self, to: &'a To) -> Option<&'a str> {
        match to {
            To::Id(id) => Some(id),
            To::Alias(_, key) => self.owners.get(key).map(String::as_str),
        }
    }

    /// Whether inputs of an instance that came before wait among the letters since it was given an alias in this batch.
    pub(super) fn has_joined(&self, id: &str) -> bool {
        self.joined.contains(id)
    }

    /// Gives an instance an alias.
    pub(super) fn give(&mut self, alias: Alias, id: &str, at: usize) {
        self.given.push(Given { alias, id: id.to_owned(), at });
    }

    /// Writes those that were given.
    pub(super) async fn write(&mut self, process: &str, tx: &mut Tx) -> Result<(), BatchFailure> {
        let given = std::mem::take(&mut self.given);
        if given.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = given.iter().map(|given| given.alias.key()).collect();
        let unknown = keys.iter().map(String::as_str).filter(|key| !self.owners.contains_key(*key)).collect();
        self.learn(process, &unknown, tx).await.map_err(BatchFailure::somewhere)?;
        let mut new = Vec::new();
        for (Given { alias, id, at }, key) in given.iter().zip(&keys) {
            match self.owners.get(key) {
                Some(owner) if owner == id => {}
                Some(owner) => return Err(BatchFailure::at(*at, taken(process, alias, owner))),
                None => {
                    self.owners.insert(key.clone(), id.clone());
                    new.push((alias, key.as_str(), id.as_str()));
                }
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let rows = new.iter().map(|(alias, _, id)| params![process, alias.to_string(), *id]).collect();
        let columns = ["process", "alias", "process_id"].map(str::to_owned).into();
        let table = "fs_process_aliases".to_owned();
        let written = tx.write_rows(TableRows { table, columns, rows, replace_by: Vec::new() }).await;
        written.map_err(|error| BatchFailure::somewhere(not_written(process, error)))?;
        let moved: Vec<(&str, &str)> = new.iter().map(|(_, key, id)| (*key, *id)).collect();
        let joined = move_letters(tx, process, &moved).await;
        let joined = joined.map_err(|error| BatchFailure::somewhere(Failure::transient(error)))?;
        self.joined.extend(joined.into_iter().map(str::to_owned));
        Ok(())
    }

    async fn learn(&mut self, process: &str, keys: &BTreeSet<&str>, tx: &mut Tx) -> Result<(), Failure> {
        for (statement, params) in owners_of(process, keys) {
            for row in tx.query(&statement, params).await? {
                let (key, id) = owner(&row)?;
                self.owners.insert(key, id);
            }
        }
        Ok(())
    }
}

/// Whose aliases these are, as far as they are anybody's, by their keys.
pub(super) async fn known(
    process: &str,
    keys: &BTreeSet<&str>,
    store: &dyn Store,
) -> Result<HashMap<String, String>, Error> {
    let mut owners = HashMap::new();
    for (statement, params) in owners_of(process, keys) {
        for row in store.query(&statement, params).await? {
            owners.extend([owner(&row)?]);
        }
    }
    Ok(owners)
}

/// The queries for the owners of aliases, by their keys.
fn owners_of(process: &str, keys: &BTreeSet<&str>) -> Vec<(String, Params)> {
    let aliases: Vec<&str> = keys.iter().filter_map(|key| unit::alias_of(key)).collect();
    aliases
        .chunks(ALIASES_PER_QUERY)
        .map(|part| sql::with_ids(sql::SELECT_PROCESS_ALIASES, params![process], part))
        .collect()
}

/// The key of an alias, and whose it is.
fn owner(row: &Row) -> Result<(String, String), RowError> {
    Ok((unit::of_alias(&row.get::<String>("alias")?), row.get("process_id")?))
}

fn taken(process: &str, alias: &Alias, owner: &str) -> Failure {
    Failure::permanent(format!(
        "the instance {owner:?} of {process} has the alias {alias} already; an alias belongs to one instance, until that has ended and is \
         forgotten. Nothing of this input took effect: give the instance an alias of its own, then redrive this letter, or discard it"
    ))
}

/// Another owner may have given the alias meanwhile: then the next attempt sees that.
fn not_written(process: &str, error: StoreError) -> Failure {
    match error.is_unique_violation() {
        true => {
            Failure::transient(StoreError::Contention(format!("an alias of {process} was given meanwhile")))
        }
        false => error.into(),
    }
}
