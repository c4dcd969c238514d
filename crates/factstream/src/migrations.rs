//! Makes the framework's own tables (`fs_*`), once, also when several processes start together.
//!
//! Invariant: all of it runs in one transaction that holds the row lock of `fs_migrations`; what another process has done
//! meanwhile is seen and not done again. A store of a newer factstream is refused.

use crate::error::Error;
use factstream_core::params;
use factstream_core::sql::now;
use factstream_core::store::{Commit, Store, StoreError};

const COMPONENT: &str = "framework";
const MIGRATIONS: &[&str] =
    &[include_str!("sql/migrations/0001_framework.sql"), include_str!("sql/migrations/0002_mirror.sql")];

/// Brings the tables to this build's version.
pub(crate) async fn migrate(store: &dyn Store, what: &str) -> Result<(), Error> {
    let known = MIGRATIONS.len() as u32;
    if version(&store.query(VERSION, params![COMPONENT]).await?)? == known {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    // A write first: it takes the lock that makes starting processes go one after the other.
    tx.execute("UPDATE fs_migrations SET applied_at = applied_at", params![]).await?;
    let found = version(&tx.query(VERSION, params![COMPONENT]).await?)?;
    if found > known {
        return Err(StoreError::Newer { what: what.to_owned(), found, known }.into());
    }
    for (number, script) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        for statement in statements(script) {
            tx.execute(statement, params![]).await?;
        }
        let sql = "INSERT INTO fs_migrations (component, version, applied_at) VALUES ($1, $2, $3)";
        tx.execute(sql, params![COMPONENT, number, now()]).await?;
    }
    match tx.commit(Vec::new()).await? {
        Commit::Committed(_) => Ok(()),
        Commit::Conflict(conflict) => Err(Error::Conflict(conflict)),
    }
}

const VERSION: &str = "SELECT coalesce(max(version), 0) AS version FROM fs_migrations WHERE component = $1";

fn version(rows: &[factstream_core::sql::Row]) -> Result<u32, Error> {
    Ok(rows.first().map(|row| row.get::<u32>("version")).transpose()?.unwrap_or(0))
}

/// The statements of a script: each ends with `;` at the end of a line.
fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split(";\n").map(str::trim).filter(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}
