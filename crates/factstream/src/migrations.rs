//! Makes the framework's own tables (`fs_*`), once, also when several processes start together.
//!
//! Invariant: all of it runs in one transaction that holds the row lock of `fs_migrations`; what another process has done
//! meanwhile is seen and not done again. A store of a newer factstream is refused.

use crate::error::Error;
use factstream_core::params;
use factstream_core::sql::now;
use factstream_core::store::{Commit, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Ordering;
use uuid::Uuid;

const COMPONENT: &str = "framework";
const MIGRATIONS: &[&str] = &[
    include_str!("sql/migrations/0001_framework.sql"),
    include_str!("sql/migrations/0002_mirror.sql"),
    include_str!("sql/migrations/0003_identity.sql"),
    include_str!("sql/migrations/0004_handlers.sql"),
    include_str!("sql/migrations/0005_store.sql"),
    include_str!("sql/migrations/0006_group_starts.sql"),
    include_str!("sql/migrations/0007_amendments.sql"),
    include_str!("sql/migrations/0008_states.sql"),
    include_str!("sql/migrations/0009_timers.sql"),
    include_str!("sql/migrations/0010_schedules.sql"),
    include_str!("sql/migrations/0011_processes.sql"),
    include_str!("sql/migrations/0012_causal.sql"),
    include_str!("sql/migrations/0013_rates.sql"),
    include_str!("sql/migrations/0014_seals.sql"),
    include_str!("sql/migrations/0015_aliases.sql"),
];
/// Since this version, records of foreign producers have another identity.
const IDENTITY: u32 = 3;
/// So long after the migration, processes of an earlier build may still be at work, and clocks may differ.
const FORMER_IDENTITY: SignedDuration = SignedDuration::from_hours(1);

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
    let applied_at = now(); // one time for all: that tells a new store from one that was carried over
    for (number, script) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        for statement in statements(script) {
            tx.execute(statement, params![]).await?;
        }
        let sql = "INSERT INTO fs_migrations (component, version, applied_at) VALUES ($1, $2, $3)";
        tx.execute(sql, params![COMPONENT, number, applied_at]).await?;
    }
    tx.execute(MAKE_ID, params![Uuid::now_v7()]).await?;
    match tx.commit(Vec::new()).await? {
        Commit::Committed(_) => Ok(()),
        Commit::Conflict(conflict) => Err(Error::Conflict(conflict)),
    }
}

/// Gives the store its id. One that has published or read before did so without a namespace. `$1` is the id.
const MAKE_ID: &str = "INSERT INTO fs_store (store_id, namespace) \
                       SELECT CAST($1 AS TEXT), CASE WHEN EXISTS (SELECT 1 FROM fs_checkpoints) THEN '' END \
                       WHERE NOT EXISTS (SELECT 1 FROM fs_store)";

/// Records published before this may have been handled by an earlier build, and are known as it knew them; `None` in a store
/// that no earlier build has written to.
pub(crate) async fn former_until(store: &dyn Store) -> Result<Option<Timestamp>, Error> {
    let sql =
        "SELECT applied_at FROM fs_migrations WHERE component = $1 AND version IN (1, $2) ORDER BY version";
    let rows = store.query(sql, params![COMPONENT, IDENTITY]).await?;
    let applied = rows.iter().map(|row| row.get::<Timestamp>("applied_at")).collect::<Result<Vec<_>, _>>()?;
    Ok(match applied[..] {
        [first, identity] if first < identity => identity.checked_add(FORMER_IDENTITY).ok(),
        _ => None,
    })
}

/// Makes sure that the tables are of this build's version, and changes nothing.
pub(crate) async fn check(store: &dyn Store, what: &str) -> Result<(), Error> {
    let known = MIGRATIONS.len() as u32;
    let found = version(&store.query(VERSION, params![COMPONENT]).await?)?;
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { what: what.to_owned(), found, known }.into()),
        Ordering::Less => {
            let reason = format!(
                "its tables are of an earlier release (schema {found}, this build has {known}); start the application, which \
                 migrates them, then look again"
            );
            Err(StoreError::Unusable { what: what.to_owned(), reason }.into())
        }
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
