//! The statements of an append, prepared: kept ready on a pooled connection, or made for one transaction of a user's own.

use crate::session::Session;
use factstream_core::sabotage::{Sabotage, is_on};
use futures_util::future::{try_join, try_join3};
use tokio_postgres::{Error, Statement, Transaction};

const LOCK: &str = "SELECT head, fence FROM fs_log WHERE id = 1 FOR UPDATE";
/// One channel for each log, whatever schema it is in: notifications stay within a database, and the table's number names
/// the log. The payload is its new head.
pub(crate) const NOTIFY: &str =
    "SELECT pg_notify('factstream_' || 'fs_log'::regclass::oid::text, $1::bigint::text)";
/// The channel that [`NOTIFY`] speaks on.
pub(crate) const CHANNEL: &str = "SELECT 'factstream_' || 'fs_log'::regclass::oid::text";
/// The head of the log.
pub(crate) const HEAD: &str = "SELECT head FROM fs_log WHERE id = 1";

/// The server's time now, also within a transaction that began long ago; as times are kept.
pub(crate) const CLOCK: &str =
    r#"SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at"#;

/// Where the fence stands.
pub(crate) const FENCE: &str = "SELECT fence FROM fs_log WHERE id = 1";
/// Moves the fence: behind whoever is appending, and before whatever is still on its way.
pub(crate) const MOVE_FENCE: &str = "UPDATE fs_log SET fence = fence + 1 WHERE id = 1 RETURNING fence";
/// The append in one statement.
pub(crate) const APPEND: &str = include_str!("../sql/append.sql");

/// The append in one statement, without what it has for idempotency keys.
pub(crate) fn append_without_keys() -> String {
    APPEND.lines().filter(|line| !line.ends_with("-- keys")).collect::<Vec<_>>().join("\n")
}

/// The statements that a sabotage replaces: positions from a sequence that the harness has made, without the counter's lock.
mod from_sequence {
    pub(super) const LOCK: &str = "SELECT head, fence FROM fs_log WHERE id = 1";
    pub(super) const INSERT_EVENTS: &str = include_str!("../sql/sabotage/insert_events.sql");
}

pub(crate) struct Statements {
    pub(crate) lock: Statement,
    pub(crate) select_versions: Statement,
    pub(crate) select_keys: Statement,
    pub(crate) insert_events: Statement,
    pub(crate) insert_keys: Statement,
    pub(crate) notify: Statement,
}

impl Statements {
    /// Those that the connection keeps: after its first append, no exchange with the server.
    pub(crate) async fn kept(session: &Session) -> Result<Self, Error> {
        Self::prepare(|sql| session.prepare_cached(sql)).await
    }

    /// For this transaction only: one exchange with the server.
    pub(crate) async fn fresh(tx: &Transaction<'_>) -> Result<Self, Error> {
        Self::prepare(|sql| tx.prepare(sql)).await
    }

    async fn prepare<F>(prepare: impl Fn(&'static str) -> F) -> Result<Self, Error>
    where
        F: Future<Output = Result<Statement, Error>>,
    {
        let (lock, insert_events) = match is_on(Sabotage::PositionFromSequence) {
            true => (from_sequence::LOCK, from_sequence::INSERT_EVENTS),
            false => (LOCK, include_str!("../sql/insert_events.sql")),
        };
        let reads = try_join3(
            prepare(lock),
            prepare(include_str!("../sql/select_versions.sql")),
            prepare(include_str!("../sql/select_keys.sql")),
        );
        let writes = try_join3(
            prepare(insert_events),
            prepare(include_str!("../sql/insert_keys.sql")),
            prepare(NOTIFY),
        );
        let ((lock, select_versions, select_keys), (insert_events, insert_keys, notify)) =
            try_join(reads, writes).await?;
        Ok(Self { lock, select_versions, select_keys, insert_events, insert_keys, notify })
    }
}
