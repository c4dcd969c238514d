//! What a session is set to: what the guarantees need, limits, and what the URL's `options` ask for.

use crate::connect::Server;
use crate::options::Options;
use crate::purpose::Purpose;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::StoreError;
use std::fmt::Write;
use tokio_postgres::SimpleQueryRow;

/// Columns before those of the settings, in both answers.
const BEFORE: usize = 2;
/// After them, where they are read back: the encodings of the database and of the session.
const ENCODING: &str = "UTF8";

/// The settings of one session, in the order in which they are set.
pub(crate) struct Settings {
    wanted: Vec<(String, String)>,
    set: String,
    read_back: String,
}

impl Settings {
    pub(crate) fn of(server: &Server, options: &Options, purpose: Purpose) -> Self {
        let millis = |limit: std::time::Duration| limit.as_millis().to_string();
        let limit = millis(options.statement_limit(purpose));
        let mut wanted: Vec<(String, String)> = server.settings.clone();
        let mut ours = |name: &str, value: &str| wanted.push((name.to_owned(), value.to_owned()));
        let durably = if is_on(Sabotage::SynchronousOff) { "off" } else { "on" };
        ours("synchronous_commit", durably);
        ours("default_transaction_isolation", "read committed");
        ours("client_min_messages", "warning");
        ours("statement_timeout", &limit);
        ours("idle_in_transaction_session_timeout", &millis(options.transaction_time_limit));
        ours("lock_timeout", &millis(options.lock_timeout));
        if purpose != Purpose::Write && purpose != Purpose::Append {
            ours("default_transaction_read_only", "on");
        }
        let mut set = "SELECT pg_backend_pid(), current_setting('transaction_read_only')".to_owned();
        // On PostgreSQL's own word: what is written to the log of a standby has its number in the file's name.
        let mut read_back = "SELECT pg_backend_pid(), CASE WHEN pg_is_in_recovery() THEN '' ELSE \
                             left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
            .to_owned();
        for (name, value) in &wanted {
            let (name, value) = (literal(name), literal(value));
            let _ = match name.as_str() {
                // Who asks for more than to be on disk here is given it.
                "'synchronous_commit'" => write!(
                    set,
                    ", set_config({name}, CASE current_setting({name}) WHEN 'remote_apply' THEN 'remote_apply' ELSE {value} END, false)"
                ),
                _ => write!(set, ", set_config({name}, {value}, false)"),
            };
            let _ = write!(read_back, ", current_setting({name})");
        }
        read_back.push_str(", current_setting('server_encoding'), current_setting('client_encoding')");
        Self { wanted, set, read_back }
    }

    /// Sets them, and answers with what was made of each.
    pub(crate) fn set(&self) -> &str {
        &self.set
    }

    /// Asks for them, in a transaction after that.
    pub(crate) fn read_back(&self) -> &str {
        &self.read_back
    }

    /// Refuses a session on which they are not in force.
    pub(crate) fn check(
        &self,
        server: &Server,
        set: &SimpleQueryRow,
        read: &SimpleQueryRow,
    ) -> Result<(), StoreError> {
        let refuse = |reason: String| Err(StoreError::Unusable { what: server.place.clone(), reason });
        if text(set, 0) != text(read, 0) {
            return refuse(TRANSACTION_POOLING.to_owned());
        }
        for (at, (name, _)) in self.wanted.iter().enumerate() {
            // The same setting may be asked for twice: the last one stands.
            let last = self.wanted.iter().rposition(|(other, _)| other == name).unwrap_or(at);
            let (wanted, found) = (text(set, BEFORE + last), text(read, BEFORE + at));
            if wanted != found {
                return refuse(format!(
                    "the setting {name} is {found:?} and not {wanted:?}, although it was set: {TRANSACTION_POOLING}"
                ));
            }
        }
        let (of_database, of_session) =
            (text(read, BEFORE + self.wanted.len()), text(read, BEFORE + 1 + self.wanted.len()));
        if of_database != ENCODING {
            return refuse(format!(
                "its encoding is {of_database}, which cannot hold every text; make it anew with UTF8: \
                 CREATE DATABASE .. ENCODING 'UTF8' TEMPLATE template0"
            ));
        }
        if of_session != ENCODING {
            return refuse(format!(
                "client_encoding is {of_session} and not UTF8; take client_encoding out of the URL's options and of \
                 ignore_startup_parameters"
            ));
        }
        Ok(())
    }
}

/// Why a session that does not stay is of no use.
pub(crate) const TRANSACTION_POOLING: &str = "a pooler between here and the server gives each transaction another session \
     (pool_mode = transaction or statement), on which neither settings nor prepared statements nor LISTEN last; set \
     pool_mode = session for this database, or name the server itself in the URL";

/// Text as SQL has it, whatever standard_conforming_strings says.
fn literal(text: &str) -> String {
    let text = text.replace('\'', "''");
    if text.contains('\\') { format!(" E'{}'", text.replace('\\', "\\\\")) } else { format!("'{text}'") }
}

/// A column of the answer to a simple query; empty where it is NULL.
pub(crate) fn text(row: &SimpleQueryRow, at: usize) -> &str {
    row.get(at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_within_its_quotes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
    }
}
