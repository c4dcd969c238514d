//! What makes a database a store: the tables, made once, also when several processes start together.

use crate::error::of_statement;
use factstream_core::sql::{format_timestamp, now};
use factstream_core::store::StoreError;
use tokio_postgres::Client;

const COMPONENT: &str = "store";
const MIGRATIONS: &[&str] = &[
    include_str!("../sql/0001_store.sql"),
    include_str!("../sql/0002_fence.sql"),
    include_str!("../sql/0003_horizons.sql"),
];
/// "factstr" as a number: the lock that starting processes queue at.
const LOCK: i64 = 0x0066_6163_7473_7472;

/// Brings the tables to this build's version, where that may be done.
pub(crate) async fn migrate(client: &Client, place: &str, makes_tables: bool) -> Result<(), StoreError> {
    let known = MIGRATIONS.len() as u32;
    let failed = |error: tokio_postgres::Error| of_statement("making the tables", &error);
    if is_current(client, known).await.map_err(failed)? {
        return Ok(()); // so that whoever may not make tables can run where they were made beforehand
    }
    if !makes_tables {
        let reason = "its tables are missing or of another release; start the application, which makes them, then look again";
        return Err(StoreError::Unusable { what: place.to_owned(), reason: reason.to_owned() });
    }
    // When it fails, the connection is not used again.
    let tx = client;
    tx.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(failed)?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    let sql = "CREATE TABLE IF NOT EXISTS fs_migrations (component TEXT NOT NULL, version BIGINT NOT NULL, \
               applied_at TEXT NOT NULL, PRIMARY KEY (component, version))";
    tx.batch_execute(sql).await.map_err(|error| of_statement(sql, &error))?;
    let sql = "SELECT coalesce(max(version), 0)::bigint FROM fs_migrations WHERE component = $1";
    let found: i64 = tx.query_one(sql, &[&COMPONENT]).await.map_err(failed)?.get(0);
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer { what: place.to_owned(), found, known });
    }
    for (number, script) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        tx.batch_execute(script).await.map_err(|error| match of_statement(script, &error) {
            StoreError::Statement { message, .. } => StoreError::Unusable {
                what: place.to_owned(),
                reason: format!(
                    "the tables cannot be made: {message}; give factstream a database or schema of its own"
                ),
            },
            other => other,
        })?;
        let sql = "INSERT INTO fs_migrations (component, version, applied_at) VALUES ($1, $2, $3)";
        let at = format_timestamp(now());
        tx.execute(sql, &[&COMPONENT, &i64::from(number), &at]).await.map_err(failed)?;
    }
    tx.batch_execute("COMMIT").await.map_err(failed)
}

/// Whether this build's tables are there. Needs no right but to read.
async fn is_current(client: &Client, known: u32) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT to_regclass('fs_migrations') IS NOT NULL";
    if !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
        return Ok(false);
    }
    let sql = "SELECT coalesce(max(version), 0)::bigint FROM fs_migrations WHERE component = $1";
    Ok(client.query_one(sql, &[&COMPONENT]).await?.get::<_, i64>(0) == i64::from(known))
}
