//! Whose fault an error is, by the server's code for it (SQLSTATE): the statement's, other work's, or the server's own.
//!
//! A code begins with its class. Whole classes are sorted, so that a code which a later PostgreSQL adds is with its like; what is
//! named alone differs from its class. What is the server's own must never be counted against an event, and what an event's
//! data bring about must never stop those of other keys.

use factstream_core::store::StoreError;
use tokio_postgres::error::DbError;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The statement's: its syntax, its types, a constraint, a value.
    Statement,
    /// The statement's: it took longer than it may.
    Slow,
    /// Other work's: the transaction is run again.
    Contention,
    /// The server's, and it will pass: it starts, stops, is out of connections, cut the connection.
    Passing,
    /// The server's: its disk.
    Disk,
    /// The server's: somebody has to set something right.
    Setup(Advice),
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    Grant,
    ReadOnly,
    Database,
    Login,
    Limit,
    Damaged,
    Log,
}

/// Whose fault it is.
pub(crate) fn fault(error: &DbError) -> Fault {
    // These say in the routine, which no language changes, what their code alone does not.
    match (error.code().code(), error.routine()) {
        // A policy on rows (CREATE POLICY) refuses the values, not the role.
        ("42501", Some("ExecWithCheckOptions")) => Fault::Statement,
        // A table has changed under a statement that was kept ready; two sessions change the definition of one thing at once.
        ("0A000", Some("RevalidateCachedQuery"))
        | ("XX000", Some("simple_heap_update" | "simple_heap_delete")) => Fault::Contention,
        // pg_cancel_backend: somebody has ended this one statement. The language changes this, and then it counts as slow.
        ("57014", _) if error.message().contains("user request") => Fault::Contention,
        (code, _) => fault_of_code(code),
    }
}

fn fault_of_code(code: &str) -> Fault {
    match code {
        // Waiting for locks on rows and tables; 55006: in use by another session; 72: a snapshot is too old.
        "55P03" | "55006" | "72000" => Fault::Contention,
        // A COMMIT that broke a deferred constraint (40002) is the statements' before it.
        "40002" => Fault::Statement,
        // It took too long by statement_timeout, by idle_in_transaction_session_timeout, by transaction_timeout.
        "57014" | "25P03" | "25P04" => Fault::Slow,
        "42501" => Fault::Setup(Advice::Grant),
        "25006" => Fault::Setup(Advice::ReadOnly),
        "57P04" => Fault::Setup(Advice::Database),
        "53100" | "58030" => Fault::Disk,
        "53400" => Fault::Setup(Advice::Limit),
        "XX001" | "XX002" => Fault::Setup(Advice::Damaged),
        // Not as the table or server has to be set up: no replica identity, no longer loaded, not yet recovered.
        "55000" => Fault::Setup(Advice::Log),
        // A foreign server that cannot be reached.
        "HV00N" => Fault::Passing,
        _ => match code.get(..2).unwrap_or_default() {
            // Connections; resources; an operator's intervention.
            "08" | "53" | "57" => Fault::Passing,
            "28" => Fault::Setup(Advice::Login),
            "3D" => Fault::Setup(Advice::Database),
            // Transactions that were rolled back for the sake of others.
            "40" => Fault::Contention,
            // The system below the server; its configuration files.
            "58" | "F0" => Fault::Setup(Advice::Log),
            // Among them 22 and 23 (values, constraints), the rest of 42 (syntax, names), P0 (RAISE), 54 (too large or too
            // complex), the rest of 55, and XX000: extensions raise it for values that they do not like.
            _ => Fault::Statement,
        },
    }
}

impl Advice {
    /// The error that says so.
    pub(crate) fn unavailable(self, problem: String, sql: &str) -> StoreError {
        let advice = match self {
            Self::Grant => grant(&problem, sql),
            Self::ReadOnly => "the server only reads: it is a standby, or default_transaction_read_only is on. Name every host in \
                               the URL with target_session_attrs=read-write (postgres://USER@HOST1,HOST2/DATABASE?..), or let \
                               the server write again"
                .into(),
            Self::Database => "make the database again (createdb), or correct its name in the URL".into(),
            Self::Login => "let the role log in again (ALTER ROLE .. LOGIN, pg_hba.conf), or correct the URL".into(),
            Self::Limit => "raise the limit that the message names in postgresql.conf".into(),
            Self::Damaged => "the database is damaged: see the server's log, then restore it from a backup or REINDEX".into(),
            Self::Log => "see the server's log".into(),
        };
        StoreError::Unavailable { problem, advice }
    }
}

/// The GRANT to run. The server names the object in its message only; in another language all are granted anew.
fn grant(problem: &str, sql: &str) -> String {
    let named = problem.split_once("permission denied for ").map(|(_, named)| named);
    let (kind, name) = named.and_then(|named| named.split_once(' ')).unwrap_or_default();
    let name = name.split_whitespace().next().unwrap_or_default();
    let (rights, name) = match (kind, name) {
        ("schema", name) if creates(sql) => ("USAGE, CREATE", format!("SCHEMA {name}")),
        ("schema", name) => ("USAGE", format!("SCHEMA {name}")),
        ("database", name) => ("CONNECT", format!("DATABASE {name}")),
        ("sequence", name) => ("USAGE, SELECT", format!("SEQUENCE {name}")),
        ("function", name) => ("EXECUTE", format!("FUNCTION {name}")),
        ("table", "events") => ("SELECT, INSERT", "events".to_owned()),
        ("table" | "view" | "relation", name) => ("SELECT, INSERT, UPDATE, DELETE", name.to_owned()),
        _ => {
            return "grant the service's role what it needs: as the owner of the tables, run docs/grants.sql with its name".into();
        }
    };
    format!(
        "as the owner of it, run: GRANT {rights} ON {name} TO the service's role (docs/grants.sql has all that it needs)"
    )
}

fn creates(sql: &str) -> bool {
    sql.lines().any(|line| line.starts_with("CREATE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_sorted_by_whose_fault_it_is() {
        let fault = |codes: &[&str], wanted: &dyn Fn(Fault) -> bool| {
            for code in codes {
                assert!(wanted(fault_of_code(code)), "{code}: {:?}", fault_of_code(code));
            }
        };
        fault(
            &[
                "22P02", "23505", "23503", "40002", "42601", "42P01", "54000", "P0001", "XX000", "3F000",
                "0A000",
            ],
            &|fault| fault == Fault::Statement,
        );
        fault(&["40001", "40P01", "40000", "55P03", "55006"], &|fault| fault == Fault::Contention);
        fault(&["08006", "53300", "53200", "57P01", "57P02", "57P03", "57P05", "57000"], &|fault| {
            fault == Fault::Passing
        });
        fault(&["53100", "58030"], &|fault| fault == Fault::Disk);
        fault(&["57014", "25P03", "25P04"], &|fault| fault == Fault::Slow);
        fault(
            &[
                "28000", "28P01", "42501", "25006", "3D000", "57P04", "53400", "55000", "58000", "58P01",
                "F0000", "XX001", "XX002",
            ],
            &|fault| matches!(fault, Fault::Setup(_)),
        );
    }

    #[test]
    fn the_grant_to_run_names_what_was_refused() {
        assert!(
            grant("permission denied for table orders", "SELECT")
                .contains("GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO")
        );
        assert!(
            grant("permission denied for table events", "SELECT")
                .contains("GRANT SELECT, INSERT ON events TO")
        );
        assert!(
            grant("permission denied for schema public", "SELECT")
                .contains("GRANT USAGE ON SCHEMA public TO")
        );
        let create = grant("permission denied for schema public", "-- the log\nCREATE TABLE events ()");
        assert!(create.contains("GRANT USAGE, CREATE ON SCHEMA public TO"), "{create}");
        assert!(grant("keine Berechtigung für Tabelle orders", "SELECT").contains("docs/grants.sql"));
    }
}
