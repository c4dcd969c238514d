//! Texts that end, open or turn around something: a statement, a JSON text, a pattern, a path, a line. And what must
//! stand still whatever is done with them.

use factstream::envelope::check_id;
use factstream_tests::ledger;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeSet;

const FRAGMENTS: [&str; 36] = [
    "'; DROP TABLE events; --",
    "'); DELETE FROM order_projections; --",
    "' OR '1'='1",
    "' UNION SELECT event_data FROM events --",
    "x'--",
    "''",
    "\"",
    "\"; DROP TABLE \"events\"; --",
    "\\",
    "\\'; DROP TABLE events; --",
    "/*",
    "*/ --",
    "$1",
    "$$; DROP TABLE events; $$",
    "?1",
    ":name",
    "@p1",
    "{table}",
    "{table}; DROP TABLE {table}",
    "%",
    "%00",
    "%27%3B",
    "_%",
    "*",
    "events",
    "fs_dead_letters",
    "NULL",
    "\"},\"status\":\"SHIPPED\",\"x\":{\"y\":\"",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "${jndi:ldap://127.0.0.1/x}",
    "\u{202e}sredro\u{202c} \u{200f}\u{200b}",
    "ʼ OR ʼ1ʼ=ʼ1 ＇ 🦀 e\u{301}",
    " ' leading and trailing ' ",
    "first\nsecond'; --",
    "nul\0'; DROP TABLE events; --",
];

/// All of them, some longer than any id.
pub(crate) fn fragments() -> Vec<String> {
    let mut all: Vec<String> = FRAGMENTS.map(str::to_owned).into();
    all.extend(["'".repeat(250), "'".repeat(300), "\"".repeat(255), "\u{1}\u{7f}\u{85}".to_owned()]);
    all
}

/// Whether it may be an id. All that is not has to be refused; all that is has to be kept as it is.
pub(crate) fn is_id(text: &str) -> bool {
    check_id("id", text).is_ok()
}

/// As it is written in a URL.
pub(crate) fn in_url(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What a store is made of: tables, columns, indexes, functions. A rebuild may write their names otherwise.
pub(crate) type Schema = BTreeSet<Vec<Option<String>>>;

/// Nothing has gone, and nothing was added.
pub(crate) fn is_still(store: &str, before: &Schema) {
    let differences: Vec<_> = schema(store).symmetric_difference(before).cloned().collect();
    assert!(differences.is_empty(), "the store is made of other parts than before: {differences:?}");
}

pub(crate) fn schema(store: &str) -> Schema {
    let statements: &[&str] = if store.starts_with("sqlite:") {
        &[
            "SELECT type, name, tbl_name, replace(sql, '\"', '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat_'",
        ]
    } else {
        &[
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
            "SELECT schemaname, tablename, regexp_replace(indexname, '__r[0-9]+', '') FROM pg_indexes WHERE schemaname <> 'pg_catalog'",
            "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')",
        ]
    };
    statements.iter().flat_map(|statement| ledger::query(store, statement)).collect()
}
