//! What a statement may not say, or what it leaves behind on its connection: connections go round among transactions.

use crate::error::first_line;
use factstream_core::sql::code;
use factstream_core::store::StoreError;

/// They begin and end transactions.
const CONTROL: [&str; 9] =
    ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"];
/// They change the connection for those who come after.
const SESSION: [&str; 7] = ["SET", "RESET", "DISCARD", "LISTEN", "UNLISTEN", "DEALLOCATE", "LOAD"];

/// Refuses what is not a user's to say.
pub(crate) fn refuse_control(sql: &str) -> Result<(), StoreError> {
    let mut words = words(sql);
    let (word, next) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if is_one_of(word, &CONTROL) {
        let message = format!("{word} is not allowed here: the transaction is the store's to begin and end");
        return Err(StoreError::statement(message, first_line(sql)));
    }
    if is_one_of(word, &SESSION) && !is_one_of(next, &["LOCAL", "CONSTRAINTS", "TRANSACTION"]) {
        let message = format!(
            "{word} is not allowed here: it would outlive the transaction on its connection, which others use next; write \
             SET LOCAL, or use a connection of your own"
        );
        return Err(StoreError::statement(message, first_line(sql)));
    }
    Ok(())
}

/// Whether something is left on the connection when the transaction is over: then it is closed, and not used again.
pub(crate) fn leaves_traces(sql: &str) -> bool {
    let mut words = words(sql);
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let begins = |one: &[&str], then: &[&str]| is_one_of(first, one) && is_one_of(second, then);
    begins(&["CREATE"], &["TEMP", "TEMPORARY", "LOCAL", "GLOBAL"])
        || is_one_of(first, &["DECLARE"])
        || holds(sql, "advisory_lock")
        || holds(sql, "set_config") && !holds_spaceless(sql, ",true)")
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    code(sql, true).split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty())
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// Whether the text has this lower case name in it, however it is written.
fn holds(text: &str, name: &str) -> bool {
    let (text, name) = (text.as_bytes(), name.as_bytes());
    may_hold(text, name) && text.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name))
}

/// Statements are long, and each transaction's are looked through: what stands around the first underscore of the name is looked for
/// first, and at every place, so that the compiler looks at many at once.
fn may_hold(text: &[u8], name: &[u8]) -> bool {
    let at = name.iter().position(|byte| *byte == b'_').unwrap_or(name.len() / 2);
    let Some(&[before, middle, after]) = at.checked_sub(1).and_then(|from| name.get(from..from + 3)) else {
        return true;
    };
    let stands_here = |part: &[u8]| {
        (part[0].to_ascii_lowercase() == before)
            & (part[1].to_ascii_lowercase() == middle)
            & (part[2].to_ascii_lowercase() == after)
    };
    text.windows(3).fold(false, |found, part| found | stands_here(part))
}

fn holds_spaceless(text: &str, part: &str) -> bool {
    let text: String = text.split_whitespace().collect();
    holds(&text, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_found_behind_comments_and_what_only_looks_alike_is_taken() {
        for sql in [
            "COMMIT",
            " ; /* a /* b */ c */ -- d\n commit",
            "/**/ROLLBACK",
            "/* x */ SET work_mem = '1MB'",
            "set session authorization x",
            "RESET ALL",
        ] {
            assert!(refuse_control(sql).is_err(), "{sql}");
        }
        for sql in ["SET LOCAL work_mem = '1MB'", "/* COMMIT */ SELECT 1", "SELECT 'COMMIT'", "-- COMMIT"] {
            assert!(refuse_control(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn what_a_session_keeps_leaves_traces() {
        for sql in [
            "SELECT set_config('a.b', $1, false)",
            "create temp table t (n int)",
            "SELECT PG_ADVISORY_LOCK(1)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        ] {
            assert!(leaves_traces(sql), "{sql}");
        }
        for sql in
            ["SELECT set_config('a.b', $1, true )", "SELECT temp FROM t", "SELECT pg_advisory_xact_lock(1)"]
        {
            assert!(!leaves_traces(sql), "{sql}");
        }
    }
}
