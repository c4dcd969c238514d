//! Which log a connection finds: the database and, in it, the table of the log.

use crate::error::of_statement;
use factstream_core::store::StoreError;
use tokio_postgres::Client;

/// The log of a store, as its server tells it from others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) database: String,
    log: Option<u32>,
}

pub(crate) const IDENTITY: &str = include_str!("../sql/enter_transaction.sql");

impl Identity {
    pub(crate) async fn of(client: &Client) -> Result<Self, StoreError> {
        let row = client.query_one(IDENTITY, &[]).await;
        row.map(|row| Self::read(&row)).map_err(|error| of_statement(IDENTITY, &error))
    }

    pub(crate) fn read(row: &tokio_postgres::Row) -> Self {
        Self { database: row.get(0), log: row.get(1) }
    }
}
