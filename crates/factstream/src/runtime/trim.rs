//! Idempotency keys, settled letters and processes that have ended are kept for as long as somebody may come back to them; then they go,
//! a little at a time, so that no table grows for ever (G13). Ages are told by the store's clock.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::retention::Retention;
use factstream_core::params;
use factstream_core::sql::{Params, Row};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A shared rate whose key was idle for so long is as one that was never used.
const RATES: Duration = Duration::from_secs(2 * 24 * 3_600);
/// Rows that one pass looks at.
const ROWS_MAX: u32 = 5_000;
/// Rows deleted in one transaction: on SQLite it is the only writer.
const ROWS_PER_COMMIT: usize = 500;

impl KeyTrim {
    /// One pass over keys, letters and processes.
    pub(crate) async fn tidy(&mut self, kernel: &Kernel, retention: Retention) -> Result<(), Error> {
        let now = kernel.clock.ask(kernel.store.as_ref()).await?;
        self.step(kernel, before(now, retention.command_keys)).await?;
        trim_letters(kernel, before(now, retention.letters)).await?;
        trim_processes(kernel, before(now, retention.processes)).await?;
        trim_rates(kernel, before(now, RATES)).await
    }
}

fn before(now: Timestamp, retention: Duration) -> Timestamp {
    let retention = SignedDuration::try_from(retention).unwrap_or(SignedDuration::MAX);
    now.checked_sub(retention).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Goes through the idempotency keys again and again, in their own order: an index by age would make each append dearer.
#[derive(Default)]
pub(crate) struct KeyTrim {
    after: String,
}

impl KeyTrim {
    /// Looks at the next keys, at most [`ROWS_MAX`], and forgets those that were recorded before this time.
    async fn step(&mut self, kernel: &Kernel, before: Timestamp) -> Result<(), Error> {
        let sql = "SELECT key, recorded_at FROM fs_command_keys WHERE key > $1 ORDER BY key LIMIT $2";
        let rows = kernel.store.query(sql, params![&self.after, ROWS_MAX]).await?;
        self.after = match rows.last() {
            Some(last) if rows.len() as u32 == ROWS_MAX => last.get("key")?,
            _ => String::new(),
        };
        let mut old = Vec::new();
        for row in &rows {
            if row.get::<Timestamp>("recorded_at")? < before {
                old.push(params![row.get::<String>("key")?, before]);
            }
        }
        delete(kernel, &["DELETE FROM fs_command_keys WHERE key = $1 AND recorded_at < $2"], old).await
    }
}

/// Forgets settled letters that nothing has happened to since before this time, at most [`ROWS_MAX`].
async fn trim_letters(kernel: &Kernel, before: Timestamp) -> Result<(), Error> {
    let sql = "SELECT id FROM fs_dead_letters \
               WHERE state IN ('handled', 'discarded', 'superseded') AND updated_at < $1 ORDER BY id LIMIT $2";
    let rows = kernel.store.query(sql, params![before, ROWS_MAX]).await?;
    let ids = rows.iter().map(|row| Ok(params![row.get::<u64>("id")?])).collect::<Result<Vec<_>, Error>>()?;
    let deletes = [
        "DELETE FROM fs_dead_letter_history WHERE letter_id = $1",
        "DELETE FROM fs_dead_letter_mirror WHERE letter_id = $1",
        "DELETE FROM fs_dead_letters WHERE id = $1",
    ];
    delete(kernel, &deletes, ids).await
}

/// Forgets instances of processes that ended before this time, with their histories, at most [`ROWS_MAX`].
async fn trim_processes(kernel: &Kernel, before: Timestamp) -> Result<(), Error> {
    let sql = "SELECT process, process_id FROM fs_processes WHERE ended_at < $1 ORDER BY ended_at LIMIT $2";
    let rows = kernel.store.query(sql, params![before, ROWS_MAX]).await?;
    let of_row = |row: &Row| Ok(params![row.get::<String>("process")?, row.get::<String>("process_id")?]);
    let ids = rows.iter().map(of_row).collect::<Result<Vec<_>, Error>>()?;
    let deletes = [
        "DELETE FROM fs_process_aliases WHERE process = $1 AND process_id = $2",
        "DELETE FROM fs_process_history WHERE process = $1 AND process_id = $2",
        "DELETE FROM fs_processes WHERE process = $1 AND process_id = $2",
    ];
    delete(kernel, &deletes, ids).await
}

/// Forgets keys of shared rates whose last permit was due before this time, at most [`ROWS_MAX`].
async fn trim_rates(kernel: &Kernel, before: Timestamp) -> Result<(), Error> {
    let before = before.as_microsecond().saturating_mul(1_000);
    let sql = "SELECT handler, rate_key FROM fs_rates WHERE next_at < $1 LIMIT $2";
    let rows = kernel.store.query(sql, params![before, ROWS_MAX]).await?;
    let of_row =
        |row: &Row| Ok(params![row.get::<String>("handler")?, row.get::<String>("rate_key")?, before]);
    let keys = rows.iter().map(of_row).collect::<Result<Vec<_>, Error>>()?;
    let delete_one = "DELETE FROM fs_rates WHERE handler = $1 AND rate_key = $2 AND next_at < $3";
    delete(kernel, &[delete_one], keys).await
}

/// Runs each statement for each set of parameters, in short transactions.
async fn delete(kernel: &Kernel, statements: &[&str], rows: Vec<Params>) -> Result<(), Error> {
    for chunk in rows.chunks(ROWS_PER_COMMIT) {
        let mut tx = kernel.store.begin().await?;
        for statement in statements {
            tx.execute_many(statement, chunk.to_vec()).await?;
        }
        tx.commit(Vec::new()).await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::statements::SELECT_LETTERS;
    use factstream_core::sql::now;

    async fn app(dir: &tempfile::TempDir) -> App {
        builder(dir).open().await.unwrap()
    }

    /// On a store of its own: a SQLite file, or with `FACTSTREAM_TEST_STORE=postgres` a database on a real server.
    fn builder(dir: &tempfile::TempDir) -> crate::Builder {
        let url = match std::env::var("FACTSTREAM_TEST_STORE").as_deref() {
            Ok("postgres") => factstream_tests::postgres::server().database(),
            _ => format!("sqlite://{}", dir.path().join("store.db").display()),
        };
        App::builder(url)
    }

    async fn texts(app: &App, sql: &str) -> Vec<String> {
        let rows = app.store().query(sql, params![]).await.unwrap();
        rows.iter().map(|row| row.at(0).unwrap()).collect()
    }

    fn days_ago(days: i64) -> Timestamp {
        now() - SignedDuration::from_hours(24 * days)
    }

    #[tokio::test]
    async fn keys_and_settled_letters_are_forgotten_after_their_time_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(&dir).await;
        let mut tx = app.store().begin().await.unwrap();
        for days in [89, 91, 1] {
            let sql = "INSERT INTO fs_command_keys (key, fingerprint, aggregate_type, aggregate_id, version, position, \
                       recorded_at) VALUES ($1, 'f', 'order', 'o-1', 1, 1, $2)";
            tx.execute(sql, params![format!("k-{days}"), days_ago(days)]).await.unwrap();
            for (id, state) in ["handled", "discarded", "superseded", "dead", "parked"].iter().enumerate() {
                let id = days * 10 + id as i64;
                let sql = "INSERT INTO fs_dead_letters (id, handler, event_key, state, event_id, topic, partition, \
                           record_offset, headers, attempts, died, created_at, updated_at) \
                           VALUES ($1, 'h', 'k', $2, 'e', 't', 0, 0, '[]', 1, $3, $4, $4)";
                tx.execute(sql, params![id, *state, true, days_ago(days)]).await.unwrap();
                let sql = "INSERT INTO fs_dead_letter_history (letter_id, entry, at, action, detail) \
                           VALUES ($1, 1, $2, 'attempt', '{}')";
                tx.execute(sql, params![id, days_ago(days)]).await.unwrap();
            }
        }
        tx.commit(Vec::new()).await.unwrap();
        let mut keys = KeyTrim::default();
        for _ in 0..2 {
            keys.tidy(app.kernel(), app.retention()).await.unwrap();
        }
        assert_eq!(texts(&app, "SELECT key FROM fs_command_keys ORDER BY key").await, ["k-1", "k-89"]);
        let old = "SELECT state FROM fs_dead_letters WHERE id >= 910 ORDER BY id";
        assert_eq!(texts(&app, old).await, ["dead", "parked"], "what waits is kept, however old");
        let rows =
            app.store().query("SELECT letter_id FROM fs_dead_letter_history", params![]).await.unwrap();
        assert_eq!(rows.len(), 12, "history goes with its letter");
    }

    #[tokio::test]
    async fn how_long_they_are_kept_can_be_said_and_nonsense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let days = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3_600);
        let retention = Retention { command_keys: days(2), letters: days(200), ..Retention::default() };
        let app = builder(&dir).retention(retention).open().await.unwrap();
        let mut tx = app.store().begin().await.unwrap();
        for (id, days) in [(1_u64, 1), (2, 3), (3, 150), (4, 250)] {
            let sql = "INSERT INTO fs_command_keys (key, fingerprint, aggregate_type, aggregate_id, version, position, \
                       recorded_at) VALUES ($1, 'f', 'order', 'o-1', 1, 1, $2)";
            tx.execute(sql, params![format!("k-{days}"), days_ago(days)]).await.unwrap();
            let sql = "INSERT INTO fs_dead_letters (id, handler, event_key, state, event_id, topic, partition, \
                       record_offset, headers, attempts, died, created_at, updated_at) \
                       VALUES ($1, 'h', $2, 'handled', 'e', 't', 0, 0, '[]', 1, $3, $4, $4)";
            tx.execute(sql, params![id, format!("k-{days}"), true, days_ago(days)]).await.unwrap();
        }
        tx.commit(Vec::new()).await.unwrap();
        KeyTrim::default().tidy(app.kernel(), app.retention()).await.unwrap();
        assert_eq!(texts(&app, "SELECT key FROM fs_command_keys ORDER BY key").await, ["k-1"]);
        let kept = texts(&app, "SELECT event_key FROM fs_dead_letters ORDER BY id").await;
        assert_eq!(kept, ["k-1", "k-3", "k-150"]);
        for wrong in [Duration::ZERO, Duration::from_secs(59), Duration::MAX] {
            let refused = builder(&dir).retention(Retention { inbox: wrong, ..retention }).open().await;
            assert!(refused.err().unwrap().to_string().contains("inbox"), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_has_ended_is_forgotten_after_its_time_and_one_that_runs_never_is() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(&dir).await;
        let mut tx = app.begin().await.unwrap();
        for (id, ended) in [("runs", None), ("young", Some(days_ago(1))), ("old", Some(days_ago(100)))] {
            let sql = "INSERT INTO fs_processes (process, process_id, status, state, state_version, version, position, \
                       started_at, updated_at, ended_at) VALUES ('p', $1, '', '{}', 1, 1, 1, $2, $2, $3)";
            tx.sql(sql, params![id, days_ago(200), ended]).await.unwrap();
            let sql = "INSERT INTO fs_process_history (process, process_id, version, kind, input_id, position, acts, at) \
                       VALUES ('p', $1, 1, 'event', '', 1, '[]', $2)";
            tx.sql(sql, params![id, days_ago(200)]).await.unwrap();
            let sql = "INSERT INTO fs_process_aliases (process, alias, process_id) VALUES ('p', $1, $2)";
            tx.sql(sql, params![format!("payment={id}"), id]).await.unwrap();
        }
        tx.commit().await.unwrap();
        KeyTrim::default().tidy(app.kernel(), Retention::default()).await.unwrap();
        for table in ["fs_processes", "fs_process_history", "fs_process_aliases"] {
            let sql = format!("SELECT process_id FROM {table} ORDER BY process_id");
            assert_eq!(texts(&app, &sql).await, ["runs", "young"], "{table}");
        }
    }

    #[tokio::test]
    async fn a_list_of_letters_does_not_load_their_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(&dir).await;
        let mut tx = app.store().begin().await.unwrap();
        let sql = "INSERT INTO fs_dead_letters (id, handler, event_key, state, event_id, topic, partition, record_offset, \
                   value, headers, attempts, died, created_at, updated_at) \
                   VALUES ($1, 'h', 'k', 'dead', 'e', 't', 0, 0, $2, $3, 1, $4, $5, $5)";
        let large = vec![b'x'; 1_000_000];
        for id in 1..=20_u64 {
            let headers = format!("[\"{}\"]", "x".repeat(10_000));
            tx.execute(sql, params![id, large.clone(), headers, true, now()]).await.unwrap();
        }
        tx.commit(Vec::new()).await.unwrap();
        let params = params!["dead", "dead", "dead", None::<String>, 0_u64, 1_000];
        let rows = app.store().query(SELECT_LETTERS, params).await.unwrap();
        let bytes: usize = rows.iter().map(|row| format!("{row:?}").len()).sum();
        assert!(rows.len() == 20 && bytes < 50_000, "{bytes} bytes for {} letters", rows.len());
        assert_eq!(app.dead_letters().list(None, false, 0).await.unwrap().len(), 20);
    }
}
