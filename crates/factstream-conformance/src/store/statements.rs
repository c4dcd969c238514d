//! Statements: the same text, the same parameters and the same answers on every engine.

use crate::StoreUnderTest;
use crate::support::{begin, column, column_in, committed, count, execute, land, run, soon, stream};
use factstream_core::params;
use factstream_core::sql::{FromValue, Params, Value, placeholders};
use factstream_core::store::{Store, StoreError, TableRows, Transaction};

const CREATE: &str = "CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT)";
const INSERT: &str = "INSERT INTO items (id, name) VALUES ($1, $2)";
const NAMES: &str = "SELECT name FROM items ORDER BY id";

async fn with_items(under_test: &dyn StoreUnderTest) -> std::sync::Arc<dyn Store> {
    let store = under_test.open().await;
    run(&*store, CREATE, params![]).await;
    store
}

/// The values of the only row of an answer.
async fn values(tx: &mut dyn Transaction, sql: &str, params: Params) -> Vec<Value> {
    let rows = soon(sql, tx.query(sql, params)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(rows.len(), 1, "{sql}: one row is expected");
    rows[0].values().to_vec()
}

/// NULL, truth values, the ends of i64, floats, texts and bytes: within the transaction, after it and after reopening.
pub async fn every_value_comes_back(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let columns = "flag BOOLEAN, number BIGINT, measure DOUBLE PRECISION, words TEXT, bytes BYTEA";
    run(&*store, &format!("CREATE TABLE kinds (id BIGINT PRIMARY KEY, {columns})"), params![]).await;
    let everything: Vec<u8> = (0..=255).collect();
    let null = Value::Null;
    let mut rows: Vec<Params> = vec![
        vec![null.clone(), null.clone(), null.clone(), null.clone(), null.clone()],
        params![true, i64::MAX, f64::MAX, "", Vec::<u8>::new()],
        params![
            false,
            i64::MIN,
            f64::MIN_POSITIVE,
            "it's \"quoted\" `so` \\ % _ ; -- /* $1 ?1 :a",
            everything
        ],
        params![true, 0, -0.1, "ä ß 漢字 😀👩‍👩‍👧‍👦 e\u{301} \u{fffd}", vec![0_u8]],
        params![true, -1, 1.5e300, " spaces\n\ttabs \r\n", vec![0xff_u8; 70_000]],
        params![false, 9_007_199_254_740_993_i64, 0.300_000_000_000_000_04, "0123", b"text".as_slice()],
        params![false, 1, 2.5, "1e5", b"1e5".as_slice()],
        params![false, 1, 2.5, "x".repeat(1024 * 1024), vec![7_u8; 1024 * 1024]],
    ];
    for (id, row) in (1_i64..).zip(&mut rows) {
        row.insert(0, Value::from(id));
    }
    let insert =
        "INSERT INTO kinds (id, flag, number, measure, words, bytes) VALUES ($1, $2, $3, $4, $5, $6)";
    let select = "SELECT id, flag, number, measure, words, bytes FROM kinds ORDER BY id";
    let check = |way: &str, found: Vec<factstream_core::sql::Row>| {
        assert_eq!(found.len(), rows.len(), "{way}: not all rows are there");
        for (found, wanted) in found.iter().zip(&rows) {
            for (column, (found, wanted)) in found.values().iter().zip(wanted).enumerate() {
                // SQLite keeps truth values as numbers; they are read as truth values all the same.
                let alike = matches!((found, wanted), (Value::Integer(number), Value::Bool(flag)) if *number == i64::from(*flag));
                let name = ["id", "flag", "number", "measure", "words", "bytes"][column];
                let show = |value: &Value| format!("{value:?}").chars().take(80).collect::<String>();
                assert!(
                    alike || found == wanted,
                    "{way}: {name} was {}, came back as {}",
                    show(wanted),
                    show(found)
                );
            }
        }
    };
    let mut tx = begin(&*store).await;
    for (at, row) in rows.iter().enumerate() {
        if at % 2 == 0 {
            execute(tx.as_mut(), insert, row.clone()).await;
        } else {
            let many = soon(insert, tx.execute_many(insert, vec![row.clone()])).await;
            many.unwrap_or_else(|error| panic!("execute_many fails: {error}"));
        }
    }
    check(
        "in the transaction",
        soon(select, tx.query(select, params![])).await.unwrap_or_else(|error| panic!("{error}")),
    );
    committed(tx, vec![]).await;
    check(
        "after the commit",
        soon(select, store.query(select, params![])).await.unwrap_or_else(|error| panic!("{error}")),
    );
    drop(store);
    let store = under_test.open().await;
    check(
        "after reopening",
        soon(select, store.query(select, params![])).await.unwrap_or_else(|error| panic!("{error}")),
    );
    for (id, row) in (1_i64..).zip(&rows).skip(1) {
        let flag: Vec<bool> = column(&*store, "SELECT flag FROM kinds WHERE id = $1", params![id]).await;
        assert_eq!(Value::Bool(flag[0]), row[1], "a truth value cannot be read as one");
        let by_value: Vec<i64> = column(
            &*store,
            "SELECT id FROM kinds WHERE words = $1 AND id = $2",
            vec![row[4].clone(), row[0].clone()],
        )
        .await;
        assert_eq!(by_value, [id], "a text is not equal to itself when it is looked for");
    }
}

/// `$2` before `$1`, `$1` twice, `$10` beside `$1`: by number, in every verb.
pub async fn placeholders_are_numbered_not_ordered(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    execute(tx.as_mut(), "INSERT INTO items (name, id) VALUES ($2, $1)", params![1, "second before first"])
        .await;
    let sets = vec![params![2, "two"], params![3, "three"]];
    let many =
        soon("execute_many", tx.execute_many("INSERT INTO items (name, id) VALUES ($2, $1)", sets)).await;
    assert_eq!(many.map_err(|error| error.to_string()), Ok(vec![1, 1]), "execute_many with $2 before $1");
    let repeated = "UPDATE items SET name = $2 || name || $2 WHERE id = $1 AND id = $1";
    execute(tx.as_mut(), repeated, params![2, "-"]).await;
    let names: Vec<String> = column_in(tx.as_mut(), NAMES, params![]).await;
    assert_eq!(
        names,
        ["second before first", "-two-", "three"],
        "placeholders are not bound by their numbers"
    );
    let ten = "SELECT id FROM items WHERE id IN ($12, $11, $10, $9, $8, $7, $6, $5, $4, $3, $2) AND name <> $1 ORDER BY id";
    let params = params!["three", 91, 92, 93, 94, 95, 96, 97, 98, 3, 2, 1];
    let inside: Vec<i64> = column_in(tx.as_mut(), ten, params.clone()).await;
    assert_eq!(inside, [1, 2], "$10 and beyond are not bound by their numbers, in a transaction");
    committed(tx, vec![]).await;
    let outside: Vec<i64> = column(&*store, ten, params).await;
    assert_eq!(outside, [1, 2], "$10 and beyond are not bound by their numbers, in a query");
    let swapped: Vec<String> =
        column(&*store, "SELECT name FROM items WHERE name <> $2 AND id = $1", params![3, "x"]).await;
    assert_eq!(swapped, ["three"], "$2 before $1 is not bound by number, in a query");
}

/// A `$1` inside a literal, a quoted name or a comment is text.
pub async fn a_placeholder_in_text_or_a_comment_is_not_one(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    let sql =
        "INSERT INTO items (id, name) -- $3 and $4, it's so\nVALUES ($1, '$1 $2 it''s $9' || $2) /* $5 '' */";
    execute(tx.as_mut(), sql, params![1, "!"]).await;
    committed(tx, vec![]).await;
    let sql = "SELECT name AS \"$7\" FROM items WHERE id = $1 AND name <> '$2'";
    let rows = soon(sql, store.query(sql, params![1])).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let name = rows.first().map(|row| row.get::<String>("$7"));
    assert_eq!(name, Some(Ok("$1 $2 it's $9!".to_owned())), "text that looks like a placeholder was changed");
}

/// Too few or too many parameters are an error, never a silent NULL.
pub async fn a_wrong_number_of_parameters_is_refused(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    for params in [params![], params![1], params![1, "one", "more"]] {
        let given = params.len();
        let mut tx = begin(&*store).await;
        let answer = soon(INSERT, tx.execute(INSERT, params.clone())).await;
        assert!(answer.is_err(), "a statement with 2 placeholders took {given} parameters: {answer:?}");
        drop(tx);
        let mut tx = begin(&*store).await;
        let answer = soon(INSERT, tx.execute_many(INSERT, vec![params.clone()])).await;
        assert!(
            answer.is_err(),
            "execute_many of a statement with 2 placeholders took {given} parameters: {answer:?}"
        );
        drop(tx);
        let sql = "SELECT name FROM items WHERE id = $1 AND name = $2";
        let answer = soon(sql, store.query(sql, params)).await;
        assert!(answer.is_err(), "a query with 2 placeholders took {given} parameters: {answer:?}");
    }
    assert_eq!(count(&*store, "items").await, 0, "a statement with a wrong number of parameters took effect");
}

/// `IN (..)` lists of 2,000 values, and rows of many values.
pub async fn lists_take_many_placeholders(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    let rows: Vec<String> = (0..500).map(|row| format!("(${}, ${})", row * 2 + 1, row * 2 + 2)).collect();
    let params: Params = (0..500_i64).flat_map(|id| params![id, format!("n-{id}")]).collect();
    let touched =
        execute(tx.as_mut(), &format!("INSERT INTO items (id, name) VALUES {}", rows.join(", ")), params)
            .await;
    assert_eq!(touched, 500, "an INSERT of 500 rows");
    let list =
        format!("SELECT id FROM items WHERE name = $1 OR id IN ({}) ORDER BY id", placeholders(2, 2_000));
    let mut params = params!["n-1"];
    params.extend((490..2_490_i64).map(Value::from));
    let wanted: Vec<i64> = std::iter::once(1).chain(490..500).collect();
    let inside: Vec<i64> = column_in(tx.as_mut(), &list, params.clone()).await;
    assert_eq!(inside, wanted, "an IN list of 2,000 placeholders, in a transaction");
    committed(tx, vec![]).await;
    let outside: Vec<i64> = column(&*store, &list, params).await;
    assert_eq!(outside, wanted, "an IN list of 2,000 placeholders, in a query");
}

/// The number of rows that a statement touched, also when it is 0.
pub async fn touched_rows_are_counted(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    let once = "INSERT INTO items (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    let upsert =
        "INSERT INTO items (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name";
    let only_if = "INSERT INTO items (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE items.name < excluded.name";
    let steps = [
        (once, params![1, "b"], 1),
        (once, params![1, "c"], 0),
        (upsert, params![1, "c"], 1),
        (upsert, params![2, "d"], 1),
        (only_if, params![1, "a"], 0),
        (only_if, params![1, "z"], 1),
        ("UPDATE items SET name = 'same' WHERE id > $1", params![0], 2),
        ("UPDATE items SET name = 'same' WHERE id > $1", params![0], 2),
        ("CREATE TABLE more (id BIGINT)", params![], 0),
        ("UPDATE items SET name = 'none' WHERE id > $1", params![100], 0),
        ("INSERT INTO items (id, name) SELECT id + 10, name FROM items WHERE id < $1", params![10], 2),
        ("DELETE FROM items WHERE id = $1", params![100], 0),
        ("DELETE FROM items WHERE id = $1", params![1], 1),
        ("DELETE FROM items", params![], 3),
        ("DELETE FROM items", params![], 0),
    ];
    for (step, (sql, params, wanted)) in steps.into_iter().enumerate() {
        let touched = execute(tx.as_mut(), sql, params.clone()).await;
        assert_eq!(touched, wanted, "step {step}: rows touched by {sql} with {params:?}");
    }
    let sets = vec![params![1, "a"], params![1, "b"], params![2, "c"], params![2, "d"]];
    let touched = soon(once, tx.execute_many(once, sets)).await.map_err(|error| error.to_string());
    assert_eq!(
        touched,
        Ok(vec![1, 0, 1, 0]),
        "G6 is broken: execute_many of INSERT .. ON CONFLICT DO NOTHING counts wrong"
    );
}

/// [`Transaction::execute_many`] is as [`Transaction::execute`] for each, in order; a failure is one of the whole.
pub async fn many_sets_of_parameters_are_run_in_order(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    let none = soon(INSERT, tx.execute_many(INSERT, vec![])).await.map_err(|error| error.to_string());
    assert_eq!(none, Ok(vec![]), "execute_many without parameters does nothing");
    let sets: Vec<Params> = (0..1_000_i64).map(|id| params![id, "start"]).collect();
    let touched = soon(INSERT, tx.execute_many(INSERT, sets)).await.map_err(|error| error.to_string());
    assert_eq!(touched, Ok(vec![1; 1_000]), "execute_many of 1,000 inserts");
    let add = "UPDATE items SET name = name || $2 WHERE id < $1";
    let sets = vec![params![1, "-a"], params![2, "-b"], params![0, "-c"], params![1, "-d"]];
    let touched = soon(add, tx.execute_many(add, sets)).await.map_err(|error| error.to_string());
    assert_eq!(touched, Ok(vec![1, 2, 0, 1]), "execute_many: rows that each set of parameters touched");
    let names: Vec<String> =
        column_in(tx.as_mut(), "SELECT name FROM items WHERE id < 3 ORDER BY id", params![]).await;
    assert_eq!(names, ["start-a-b-d", "start-b", "start"], "execute_many does not run in order");
    committed(tx, vec![]).await;

    let mut tx = begin(&*store).await;
    let sets = vec![params![5_000, "new"], params![7, "taken"], params![5_001, "new"]];
    let answer = soon(INSERT, tx.execute_many(INSERT, sets)).await;
    assert!(
        matches!(answer, Err(StoreError::Statement { .. })),
        "execute_many with a taken id in the middle: {answer:?}"
    );
    drop(tx);
    assert_eq!(count(&*store, "items").await, 1_000, "a failed execute_many left rows");
}

/// [`Transaction::write_rows`], with a few rows and with many: every kind of value, names that are words of SQL's own, rows
/// that replace others, and one that is there already.
pub async fn rows_of_a_table_are_written_as_a_whole(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let create = "CREATE TABLE \"order\" (\"group\" TEXT PRIMARY KEY, flag BOOLEAN, number BIGINT, measure DOUBLE PRECISION, bytes BYTEA)";
    run(&*store, create, params![]).await;
    let columns = ["group", "flag", "number", "measure", "bytes"].map(str::to_owned).to_vec();
    let row = |id: usize, number: i64| {
        let bytes = (!id.is_multiple_of(3)).then(|| vec![id as u8; id % 7]);
        params![
            format!("row \"{id}\" ä"),
            id.is_multiple_of(2),
            number,
            (!id.is_multiple_of(5)).then_some(0.5),
            bytes
        ]
    };
    let rows = |ids: std::ops::Range<usize>, number: i64, replace_by: &[usize]| TableRows {
        table: "order".to_owned(),
        columns: columns.clone(),
        rows: ids.map(|id| row(id, number)).collect(),
        replace_by: replace_by.to_vec(),
    };
    let mut tx = begin(&*store).await;
    for (ids, number, replace_by) in
        [(0..0, 1, &[][..]), (0..3, 1, &[]), (1_000..2_500, 1, &[]), (2..5, 2, &[0]), (2_000..3_000, 2, &[0])]
    {
        let written = soon("write_rows", tx.write_rows(rows(ids.clone(), number, replace_by))).await;
        written.unwrap_or_else(|error| panic!("write_rows of {ids:?}: {error}"));
    }
    committed(tx, vec![]).await;
    let select = "SELECT \"group\", flag, number, measure, bytes FROM \"order\"";
    let found = soon(select, store.query(select, params![])).await;
    let found = found.unwrap_or_else(|error| panic!("{select}: {error}"));
    let wanted: Vec<Params> = (0..5)
        .chain(1_000..3_000)
        .map(|id| row(id, if (2..1_000).contains(&id) || id >= 2_000 { 2 } else { 1 }))
        .collect();
    assert_eq!(found.len(), wanted.len(), "not all rows were written, or some twice");
    for wanted in wanted {
        let stored = found.iter().find(|row| row.values()[0] == wanted[0]);
        let stored = stored.unwrap_or_else(|| panic!("{wanted:?} was not written"));
        assert_eq!(stored.at::<bool>(1).ok(), bool::from_value(&wanted[1]), "{wanted:?}");
        assert_eq!(stored.values()[2..], wanted[2..], "{wanted:?}");
    }

    for ids in [4..6, 2_990..3_020] {
        let mut tx = begin(&*store).await;
        let answer = soon("write_rows", tx.write_rows(rows(ids.clone(), 3, &[]))).await;
        assert!(
            matches!(answer, Err(StoreError::Statement { .. })),
            "rows that are there, {ids:?}: {answer:?}"
        );
        drop(tx);
    }
    assert_eq!(count(&*store, "\"order\"").await, 2_005, "a failed write_rows left rows");
}

/// `INSERT .. RETURNING` and its like, through [`Transaction::query`].
pub async fn a_statement_that_returns_rows_can_write(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    let inserted = values(
        tx.as_mut(),
        "INSERT INTO items (id, name) VALUES ($1, $2) RETURNING id, name",
        params![1, "one"],
    )
    .await;
    assert_eq!(inserted, params![1, "one"], "INSERT .. RETURNING");
    let updated =
        values(tx.as_mut(), "UPDATE items SET id = id + 1 WHERE id = $1 RETURNING id", params![1]).await;
    assert_eq!(updated, params![2], "UPDATE .. RETURNING");
    let sql = "UPDATE items SET id = id + 1 WHERE id = $1 RETURNING id";
    let none = soon(sql, tx.query(sql, params![77])).await.map_err(|error| error.to_string());
    assert_eq!(none, Ok(vec![]), "UPDATE .. RETURNING that touches nothing");
    committed(tx, vec![]).await;
    let names: Vec<String> = column(&*store, NAMES, params![]).await;
    assert_eq!(names, ["one"], "what INSERT .. RETURNING wrote is not committed");
}

/// Columns have the names that the statement gives them; a wrong name or type is told, rows come in order.
pub async fn an_answer_has_names_for_its_columns(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let mut tx = begin(&*store).await;
    let sets = (0..5_000_i64).map(|id| params![id, format!("n-{id}")]).collect();
    soon(INSERT, tx.execute_many(INSERT, sets))
        .await
        .unwrap_or_else(|error| panic!("execute_many fails: {error}"));
    committed(tx, vec![]).await;
    let sql = "SELECT id AS number, name AS \"Its Name\", NULL AS missing, count(*) OVER () AS total FROM items ORDER BY id DESC";
    let rows = soon(sql, store.query(sql, params![])).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(rows.len(), 5_000, "not all rows come back");
    assert_eq!(rows[0].columns(), ["number", "Its Name", "missing", "total"], "the names of the columns");
    for (row, id) in rows.iter().zip((0..5_000_i64).rev()) {
        let read = (
            row.get("number"),
            row.get::<String>("Its Name"),
            row.get::<Option<String>>("missing"),
            row.get("total"),
        );
        assert_eq!(read, (Ok(id), Ok(format!("n-{id}")), Ok(None), Ok(5_000_i64)), "a row's values");
    }
    assert!(rows[0].get::<i64>("absent").is_err(), "a column that is not in the answer was read");
}

/// [`Store::query`] reads. Whatever writes is refused, and changes nothing.
pub async fn a_query_outside_a_transaction_cannot_write(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    run(&*store, INSERT, params![1, "one"]).await;
    land(&*store, &stream("own"), 2).await;
    for sql in [
        "INSERT INTO items (id, name) VALUES (2, 'two')",
        "INSERT INTO items (id, name) VALUES (3, 'three') RETURNING id",
        "UPDATE items SET name = 'changed' RETURNING id",
        "DELETE FROM events",
        "DELETE FROM items RETURNING id",
        "CREATE TABLE more (id BIGINT)",
        "DROP TABLE items",
        "ALTER TABLE items RENAME TO others",
    ] {
        let answer = soon(sql, store.query(sql, params![])).await;
        assert!(answer.is_err(), "a query outside a transaction could write: {sql} gave {answer:?}");
        let names: Vec<String> = column(&*store, NAMES, params![]).await;
        assert_eq!(names, ["one"], "a query outside a transaction wrote: {sql}");
        assert_eq!(count(&*store, "events").await, 2, "a query outside a transaction wrote: {sql}");
    }
    run(&*store, INSERT, params![2, "two"]).await;
}

/// A text with two statements is refused whole: its second half must not be silently left out, or slipped in.
pub async fn one_call_runs_one_statement(under_test: &dyn StoreUnderTest) {
    let store = with_items(under_test).await;
    let two =
        "INSERT INTO items (id, name) VALUES (1, 'one'); INSERT INTO items (id, name) VALUES (2, 'two')";
    let mut tx = begin(&*store).await;
    let answer = soon(two, tx.execute(two, params![])).await;
    assert!(answer.is_err(), "execute took two statements: {answer:?}");
    drop(tx);
    let two = "SELECT 1; SELECT 2";
    let answer = soon(two, store.query(two, params![])).await;
    assert!(answer.is_err(), "query took two statements: {answer:?}");
    let mut tx = begin(&*store).await;
    execute(tx.as_mut(), "INSERT INTO items (id, name) VALUES (1, 'one;') ;\n", params![]).await;
    committed(tx, vec![]).await;
    assert_eq!(count(&*store, "items").await, 1, "one statement that ends with a semicolon is one statement");
}
