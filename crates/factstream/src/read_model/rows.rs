//! The rows of a read model: which an event touches, how they are loaded, folded and written. One row has one key and one order.

use super::fold::FoldRows;
use super::keys::Keys;
use crate::handler::Failure;
use crate::tasks::panic_text;
use crate::tx::{Tx, column_list, rows_of, with_key, with_one_of_keys};
use factstream_core::envelope::{Envelope, check_id};
use factstream_core::read_model::{KeyError, ReadModel, RowKey};
use factstream_core::sql::{Params, Row, quoted};
use factstream_core::store::TableRows;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use uuid::Uuid;

/// The namespace of digests of rows' keys.
const ORDERS: Uuid = Uuid::from_u128(0x3c1e_92d4_6f0b_4a8e_8d57_52b1_7e90_2026);
/// Rows loaded by one statement.
const KEYS_PER_QUERY: usize = 500;

/// What is done with the rows of one read model.
pub(crate) struct ModelRows<R>(PhantomData<fn() -> R>);

/// A row's key as it is looked up, and as the fold is given it.
pub(crate) type Keyed<R> = (RowKey, <R as ReadModel>::Key);

impl<R: FoldRows> ModelRows<R> {
    /// The keys of the rows that an event touches, each once.
    pub(crate) fn keys_of(envelope: &Envelope<R::Events>) -> Result<Keys<Keyed<R>>, Failure> {
        let keys = caught(|| R::keys(envelope))?;
        let keys = keys.try_map(|key| {
            let row_key = R::key_of(key.clone()).map_err(|error| bad_key::<R>(&error))?;
            if R::parts() > 1 && !matches!(&row_key, RowKey::Text(text) if *text == envelope.aggregate_id) {
                return Err(Failure::permanent(format!(
                    "{} is split by the aggregate's id, but this row's key is another: use one shard",
                    R::TABLE
                )));
            }
            Ok((row_key, key))
        })?;
        Ok(keys.once(|one, other| one.0 == other.0))
    }

    /// The row after an event.
    pub(crate) fn fold(
        row: Option<R>,
        key: &R::Key,
        envelope: &Envelope<R::Events>,
    ) -> Result<Option<R>, Failure> {
        caught(|| R::fold_row(row, key, envelope))
    }

    /// The rows of these keys, `None` for those that are not there.
    pub(crate) async fn load(keys: &HashSet<RowKey>, tx: &mut Tx) -> Result<Loaded<R>, Failure> {
        let mut bytes = 0;
        let mut rows: HashMap<RowKey, Option<R>> = keys.iter().map(|key| (key.clone(), None)).collect();
        let table = quoted(&tx.table(R::TABLE));
        let columns = column_list::<R>(&table);
        let keys: Vec<&RowKey> = keys.iter().collect();
        let keys_per_query = KEYS_PER_QUERY / R::KEY.len();
        for chunk in keys.chunks(keys_per_query) {
            // Padded to a power of two, so that there are few statements to prepare.
            let count = chunk.len().next_power_of_two().min(keys_per_query);
            let sql = format!("SELECT {columns} FROM {table} WHERE {}", with_one_of_keys::<R>(&table, count));
            let last = chunk[chunk.len() - 1];
            let mut params = Params::with_capacity(count * R::KEY.len());
            for key in chunk.iter().copied().chain(std::iter::repeat(last)).take(count) {
                key.push_to(&mut params);
            }
            for row in tx.query(&sql, params).await? {
                bytes += row.bytes();
                let row = Self::row(&row)?;
                let key = row.key().map_err(|error| bad_key::<R>(&error))?;
                rows.insert(key, Some(row));
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

    pub(crate) async fn write(rows: HashMap<RowKey, Option<R>>, tx: &mut Tx) -> Result<(), Failure> {
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
        let replace_by = if replace { R::KEY.to_vec() } else { Vec::new() };
        TableRows { replace_by, ..rows_of::<R>(tx.table(R::TABLE), rows) }
    }

    pub(crate) async fn delete(keys: &[RowKey], tx: &mut Tx) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let table = quoted(&tx.table(R::TABLE));
        let sql = format!("DELETE FROM {table} WHERE {}", with_key::<R>(&table, 1));
        tx.sql_many(&sql, keys.iter().map(RowKey::values).collect()).await?;
        Ok(())
    }
}

/// Rows of a table, and about how many bytes they take.
pub(crate) struct Loaded<R> {
    pub(crate) rows: HashMap<RowKey, Option<R>>,
    pub(crate) bytes: usize,
}

fn bad_key<R: ReadModel>(error: &KeyError) -> Failure {
    Failure::permanent(format!("the key of a row of {}: {error}", R::TABLE))
}

/// The order that events of one row stand in: its key, or a digest of one that cannot be kept as it is.
pub(crate) fn order_of(key: &RowKey) -> String {
    let text = key.text();
    match check_id("row key", &text) {
        Ok(()) => text,
        Err(_) => format!("row:{}", Uuid::new_v5(&ORDERS, text.as_bytes())),
    }
}

/// Runs a user's pure function; a panic is a failure.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| Failure::permanent(format!("the fold panicked: {}", panic_text(&*panic))))
}
