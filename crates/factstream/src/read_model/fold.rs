//! A fold over a batch: load the touched rows, fold in memory, write each touched row once. [`Folding`] does so for a live
//! table, batch by batch; `fill` for a new one, over many pages.

use super::Fold;
use super::fill::{Fill, Filling};
use super::table::{column_list, column_of, quoted};
use crate::handler::Failure;
use crate::processor::reaction::{Decoded, Reaction, Ready, Stuck, panic_text, typed};
use crate::tx::{Tx, rows_of};
use async_trait::async_trait;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::{Envelope, check_id};
use factstream_core::event::{EventSet, EventType};
use factstream_core::params;
use factstream_core::sql::{Params, Row, Value, placeholders, too_large};
use factstream_core::store::TableRows;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows loaded by one statement.
const KEYS_PER_QUERY: usize = 500;

/// The reaction of a read model.
pub(crate) struct Folding<R> {
    decoder: Decoder,
    types: HashSet<&'static str>,
    row: PhantomData<fn() -> R>,
}

/// A key that can be looked up in memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Text(String),
    Integer(i64),
}

impl Key {
    pub(crate) fn of(value: Value) -> Result<Self, Value> {
        match value {
            Value::Text(text) => Ok(Self::Text(text)),
            Value::Integer(number) => Ok(Self::Integer(number)),
            other => Err(other),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text),
            Self::Integer(number) => Value::from(*number),
        }
    }
}

impl<R: Fold> Folding<R> {
    pub(crate) fn new(decoder: Decoder) -> Self {
        let types = R::Events::event_types().into_iter().map(|event_type| event_type.name).collect();
        Self { decoder, types, row: PhantomData }
    }

    /// The key of the row that an event belongs to.
    pub(crate) fn key_of(envelope: &Envelope<R::Events>) -> Result<Option<Key>, Failure> {
        caught(|| Self::checked_key(envelope)).and_then(|checked| checked)
    }

    fn checked_key(envelope: &Envelope<R::Events>) -> Result<Option<Key>, Failure> {
        let Some(value) = R::row_key(envelope) else { return Ok(None) };
        if R::shards() > 1 && value != Value::from(&envelope.aggregate_id) {
            return Err(Failure::permanent(format!(
                "{} is split by the aggregate's id, but this row's key is another: use one shard",
                R::TABLE
            )));
        }
        Key::of(value).map(Some).map_err(|value| {
            Failure::permanent(match value {
                Value::TooLarge(_) => format!("the key of a row of {}: {}", R::TABLE, too_large()),
                value => format!("{value:?} cannot be the key of a row; use text or a whole number"),
            })
        })
    }

    /// The row after an event.
    pub(crate) fn fold(row: Option<R>, envelope: &Envelope<R::Events>) -> Result<Option<R>, Failure> {
        caught(|| R::fold(row, envelope))
    }

    /// The rows of these keys, `None` for those that are not there.
    pub(crate) async fn load(keys: &HashSet<Key>, tx: &mut Tx) -> Result<Loaded<R>, Failure> {
        let mut bytes = 0;
        let mut rows: HashMap<Key, Option<R>> = keys.iter().map(|key| (key.clone(), None)).collect();
        let table = quoted(&tx.table(R::TABLE));
        let (columns, key_column) = (column_list::<R>(&table), column_of(&table, R::COLUMNS[R::KEY].name));
        let keys: Vec<&Key> = keys.iter().collect();
        for chunk in keys.chunks(KEYS_PER_QUERY) {
            // Padded to a power of two, so that there are few statements to prepare.
            let count = chunk.len().next_power_of_two().min(KEYS_PER_QUERY);
            let list = placeholders(1, count);
            let sql = format!("SELECT {columns} FROM {table} WHERE {key_column} IN ({list})");
            let last = chunk[chunk.len() - 1];
            let params: Params =
                chunk.iter().copied().chain(std::iter::repeat(last)).take(count).map(Key::value).collect();
            for row in tx.query(&sql, params).await? {
                bytes += row.bytes();
                let row = Self::row(&row)?;
                if let Ok(key) = Key::of(row.key()) {
                    rows.insert(key, Some(row));
                }
            }
        }
        Ok(Loaded { rows, bytes })
    }

    fn row(row: &Row) -> Result<R, Failure> {
        R::from_row(row).map_err(|error| {
            Failure::permanent(format!(
                "a row of {} does not fit its struct ({error}); rebuild the read model",
                R::TABLE
            ))
        })
    }

    async fn write(rows: HashMap<Key, Option<R>>, tx: &mut Tx) -> Result<(), Failure> {
        let (mut upserts, mut deletes) = (Vec::with_capacity(rows.len()), Vec::new());
        for (key, row) in rows {
            match row {
                Some(row) => upserts.push(row.into_row()?),
                None => deletes.push(key),
            }
        }
        let upserts = Self::table_rows(tx, true, upserts);
        tx.write_rows(upserts).await?;
        Self::delete(&deletes, tx).await
    }

    /// Rows of this read model's table, as they are written.
    pub(crate) fn table_rows(tx: &Tx, replace: bool, rows: Vec<Params>) -> TableRows {
        TableRows { replace_by: replace.then_some(R::KEY), ..rows_of::<R>(tx.table(R::TABLE), rows) }
    }

    pub(crate) async fn delete(keys: &[Key], tx: &mut Tx) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let table = quoted(&tx.table(R::TABLE));
        let sql = format!("DELETE FROM {table} WHERE {} = $1", column_of(&table, R::COLUMNS[R::KEY].name));
        tx.execute_many(&sql, keys.iter().map(|key| params![key.value()]).collect()).await?;
        Ok(())
    }
}

/// Rows of a table, and about how many bytes they take.
pub(crate) struct Loaded<R> {
    pub(crate) rows: HashMap<Key, Option<R>>,
    pub(crate) bytes: usize,
}

#[async_trait]
impl<R: Fold> Reaction for Folding<R> {
    fn event_types(&self) -> Vec<&'static EventType> {
        R::Events::event_types()
    }

    fn handles(&self, event_type: &str) -> bool {
        self.types.contains(event_type)
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let event: R::Events = self.decoder.decode(&envelope.event_type, envelope.schema_version, json)?;
        Ok(Box::new(envelope.with(event)))
    }

    /// Events of one row wait for each other, whatever their aggregates (G7).
    fn order_key(&self, event: &Decoded) -> Option<String> {
        match Self::key_of(typed(event)).ok()?? {
            Key::Text(text) => check_id("row key", &text).is_ok().then_some(text),
            Key::Integer(number) => Some(number.to_string()),
        }
    }

    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), Stuck> {
        if batch.is_empty() {
            return Ok(());
        }
        let whole = Stuck::somewhere;
        let mut keys = Vec::with_capacity(batch.len());
        for (at, ready) in batch.iter().enumerate() {
            keys.push(Self::key_of(typed(ready.event)).map_err(|failure| Stuck::at(at, failure))?);
        }
        let touched: HashSet<Key> = keys.iter().flatten().cloned().collect();
        let mut rows = Self::load(&touched, tx).await.map_err(whole)?.rows;
        for (at, (ready, key)) in batch.iter().zip(keys).enumerate() {
            let Some(row) = key.as_ref().and_then(|key| rows.get_mut(key)) else { continue };
            *row = Self::fold(row.take(), typed(ready.event)).map_err(|failure| Stuck::at(at, failure))?;
        }
        Self::write(rows, tx).await.map_err(whole)
    }

    fn filling(&self) -> Option<Box<dyn Filling>> {
        Some(Box::new(Fill::<R>::new(self.decoder.clone())))
    }
}

/// Runs a user's pure function; a panic is a failure.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| Failure::permanent(format!("the fold panicked: {}", panic_text(&*panic))))
}
