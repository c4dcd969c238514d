//! Many rows of one table in one statement: COPY where none of them can be there already, else one INSERT of arrays. A few
//! rows are inserted one by one, without waiting in between.
//!
//! The columns' types are asked for once: a table that is made anew has the same. After a failure they are asked for again.

use crate::error::of_statement;
use crate::values::{Parameter, parameters, references};
use deadpool_postgres::ClientWrapper;
use factstream_core::sql::quoted;
use factstream_core::store::{StoreError, TableRows};
use futures_util::future::try_join_all;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// So many rows are worth the two questions more that one statement takes.
const MANY: usize = 16;

/// Writes the rows.
pub(crate) async fn write(client: &ClientWrapper, rows: &TableRows) -> Result<(), StoreError> {
    if rows.rows.len() < MANY {
        return one_by_one(client, rows).await;
    }
    let sql = format!("SELECT {} FROM {}", rows.column_list(), quoted(&rows.table));
    let failed = |error: Error| of_statement(&sql, &error);
    let select = client.prepare_cached(&sql).await.map_err(failed)?;
    let types: Vec<Type> = select.columns().iter().map(|column| column.type_().clone()).collect();
    if let Some(row) = rows.rows.iter().find(|row| row.len() != types.len()) {
        let message = format!("a row has {} values, the columns are {}", row.len(), types.len());
        return Err(StoreError::statement(message, sql));
    }
    let written = match rows.replace_by.is_empty() {
        false => upsert(client, rows, &types).await,
        true => copy(client, rows, &types).await,
    };
    if written.is_err() {
        // Should the columns have other types by now: the next attempt asks.
        client.statement_cache.remove(&sql, &[]);
    }
    written.map_err(failed)
}

async fn one_by_one(client: &ClientWrapper, rows: &TableRows) -> Result<(), StoreError> {
    let sql = rows.insert_sql();
    let failed = |error: Error| of_statement(&sql, &error);
    if rows.rows.is_empty() {
        return Ok(());
    }
    let insert = &client.prepare_cached(&sql).await.map_err(failed)?;
    let all = rows.rows.iter().map(|row| async move {
        let row = parameters(row);
        client.execute(insert, &references(&row)).await
    });
    try_join_all(all).await.map(drop).map_err(failed)
}

async fn copy(client: &Client, rows: &TableRows, types: &[Type]) -> Result<(), Error> {
    let sql = format!("COPY {} ({}) FROM STDIN BINARY", quoted(&rows.table), rows.column_list());
    let writer = BinaryCopyInWriter::new(client.copy_in(&sql).await?, types);
    tokio::pin!(writer);
    for row in &rows.rows {
        let row = parameters(row);
        writer.as_mut().write(&references(&row)).await?;
    }
    writer.finish().await.map(drop)
}

async fn upsert(client: &ClientWrapper, rows: &TableRows, types: &[Type]) -> Result<(), Error> {
    let arrays: Vec<String> = (1..)
        .zip(types)
        .map(|(at, of)| format!("${at}::{}.{}[]", quoted(of.schema()), quoted(of.name())))
        .collect();
    let insert = client
        .prepare_cached(&rows.insert_from(&format!("SELECT * FROM unnest({})", arrays.join(", "))))
        .await?;
    let columns: Vec<Vec<Parameter<'_>>> =
        (0..types.len()).map(|at| rows.rows.iter().map(|row| Parameter(&row[at])).collect()).collect();
    let columns: Vec<&(dyn ToSql + Sync)> =
        columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
    client.execute(&insert, &columns).await.map(drop)
}
