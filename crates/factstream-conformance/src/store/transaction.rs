//! Transactions: all or nothing, unseen until the commit. What G6, G10 and everything in `fs_*` tables stand on.

use crate::StoreUnderTest;
use crate::support::{
    appending, assert_sound, at_once, begin, column, column_in, committed, count, events, eventually,
    execute, joined, land, log, run, soon, stream,
};
use factstream_core::params;
use factstream_core::store::{Expected, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CREATE_NOTES: &str = "CREATE TABLE notes (id BIGINT PRIMARY KEY, note TEXT)";
const INSERT_NOTE: &str = "INSERT INTO notes (id, note) VALUES ($1, $2)";
const SELECT_NOTES: &str = "SELECT note FROM notes ORDER BY id";

/// Own writes are seen within, by each verb; from outside nothing is seen before the commit, and all of it after.
pub async fn a_transaction_sees_its_own_writes_and_nobody_else_does(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    let mut tx = begin(&*store).await;
    execute(tx.as_mut(), INSERT_NOTE, params![1, "one"]).await;
    let many =
        soon("execute_many", tx.execute_many(INSERT_NOTE, vec![params![2, "two"], params![3, "three"]]))
            .await;
    many.unwrap_or_else(|error| panic!("execute_many fails: {error}"));
    execute(tx.as_mut(), "UPDATE notes SET note = $2 WHERE id = $1", params![1, "changed"]).await;
    let inside: Vec<String> = column_in(tx.as_mut(), SELECT_NOTES, params![]).await;
    assert_eq!(inside, ["changed", "two", "three"], "a transaction does not see its own writes");
    let outside: Vec<String> = column(&*store, SELECT_NOTES, params![]).await;
    assert!(outside.is_empty(), "a query outside sees writes that are not committed: {outside:?}");
    committed(tx, vec![]).await;
    let after: Vec<String> = column(&*store, SELECT_NOTES, params![]).await;
    assert_eq!(after, inside, "after the commit a query sees other rows than were committed");
}

/// Dropping rolls back, and the store goes on at once.
pub async fn a_dropped_transaction_leaves_nothing(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    for round in 0..10 {
        let mut tx = begin(&*store).await;
        execute(tx.as_mut(), INSERT_NOTE, params![1, "dropped"]).await;
        drop(tx);
        let appended = land(&*store, &stream("own"), 1).await;
        assert_eq!(
            appended.version,
            round + 1,
            "an append after a dropped transaction is told a wrong version"
        );
        assert_eq!(count(&*store, "notes").await, 0, "a dropped transaction left its rows");
        // The same row again: nothing of the dropped transaction stands in the way.
        let mut tx = begin(&*store).await;
        execute(tx.as_mut(), INSERT_NOTE, params![1, "again"]).await;
    }
    drop(begin(&*store).await);
    assert_eq!(count(&*store, "notes").await, 0, "a dropped transaction left its rows");
}

/// A task that is aborted in the middle of a transaction rolls it back and blocks nobody.
pub async fn a_transaction_whose_task_is_aborted_leaves_nothing(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    for patience in 0..24 {
        let (owner, reached) = (store.clone(), Arc::new(AtomicBool::new(false)));
        let within = reached.clone();
        let task = tokio::spawn(async move {
            let mut tx = begin(&*owner).await;
            within.store(true, Ordering::SeqCst);
            for id in 0.. {
                execute(tx.as_mut(), INSERT_NOTE, params![i64::from(id), "aborted"]).await;
                // An engine that answers without waiting would never let the abort in.
                tokio::task::yield_now().await;
            }
        });
        if patience % 2 == 0 {
            eventually("a transaction begins", async || reached.load(Ordering::SeqCst).then_some(())).await;
        }
        for _ in 0..patience * 3 {
            tokio::task::yield_now().await;
        }
        task.abort();
        let ended = task.await;
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "a transaction of inserts ended before it was aborted"
        );
        land(&*store, &stream("own"), 1).await;
        assert_eq!(count(&*store, "notes").await, 0, "the transaction of an aborted task left its rows");
    }
}

/// A reader finds as many rows as events at every moment, when each commit brings one of each.
pub async fn rows_and_events_of_a_commit_appear_together(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    let (reader, done) = (store.clone(), Arc::new(AtomicBool::new(false)));
    let stop = done.clone();
    let watching = tokio::spawn(async move {
        let sql = "SELECT (SELECT count(*) FROM notes) - (SELECT count(*) FROM events)";
        let mut looks = 0;
        while !stop.load(Ordering::SeqCst) {
            let difference: Vec<i64> = column(&*reader, sql, params![]).await;
            assert_eq!(
                difference,
                [0],
                "G6 is broken: a reader sees the rows of a commit without its events, or the reverse"
            );
            looks += 1;
        }
        looks
    });
    at_once((0..8_i64).map(|writer| {
        let store = store.clone();
        async move {
            for round in 0..12 {
                let mut tx = begin(&*store).await;
                execute(tx.as_mut(), INSERT_NOTE, params![writer * 100 + round, "both"]).await;
                if round % 4 == 3 {
                    continue;
                }
                let own = stream(format!("s-{}", writer % 3));
                committed(tx, vec![appending(&own, Expected::Any, events(1))]).await;
            }
        }
    }))
    .await;
    done.store(true, Ordering::SeqCst);
    assert!(joined(watching).await > 0, "the reader never got to look");
    assert_eq!(
        count(&*store, "notes").await,
        72,
        "rows of commits are missing, or rows of dropped transactions are there"
    );
    assert_sound(&log(&*store).await);
}

/// Readers of every kind are answered while a transaction with writes is open.
pub async fn an_open_transaction_holds_up_no_reader(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    let own = stream("own");
    land(&*store, &own, 3).await;
    let mut tx = begin(&*store).await;
    execute(tx.as_mut(), INSERT_NOTE, params![1, "open"]).await;
    let reads = at_once((0..16).map(|_| {
        let (store, own) = (store.clone(), own.clone());
        async move {
            let events = log(&*store).await.len() + crate::support::history(&*store, &own).await.len();
            (events, crate::support::head(&*store).await, count(&*store, "notes").await)
        }
    }));
    for read in reads.await {
        assert_eq!(read, (6, 3, 0), "a read beside an open transaction: events by two reads, head, rows");
    }
    committed(tx, vec![]).await;
    assert_eq!(
        count(&*store, "notes").await,
        1,
        "a transaction that was open beside readers is not committed"
    );
}

/// Only reads, or only SQL: a commit needs no events.
pub async fn a_transaction_without_appends_commits(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    assert_eq!(committed(begin(&*store).await, vec![]).await, [], "a commit without appends has no entries");
    let mut tx = begin(&*store).await;
    let rows: Vec<String> = column_in(tx.as_mut(), SELECT_NOTES, params![]).await;
    assert!(rows.is_empty(), "rows in an empty table: {rows:?}");
    assert_eq!(committed(tx, vec![]).await, [], "a commit without appends has no entries");
    assert_eq!(log(&*store).await, [], "a commit without appends stored events");
}

/// `CREATE TABLE`, `ALTER TABLE .. RENAME TO` and `DROP TABLE` take effect with the commit, or not at all.
pub async fn tables_are_made_renamed_and_dropped_atomically(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    run(&*store, INSERT_NOTE, params![1, "old"]).await;
    for (kept, wanted) in [(false, "old"), (true, "new")] {
        let mut tx = begin(&*store).await;
        for sql in [
            "CREATE TABLE notes__rebuild (id BIGINT PRIMARY KEY, note TEXT)",
            "INSERT INTO notes__rebuild (id, note) VALUES (1, 'new')",
            "DROP TABLE notes",
            "ALTER TABLE notes__rebuild RENAME TO notes",
            "CREATE INDEX notes_note ON notes (note)",
        ] {
            execute(tx.as_mut(), sql, params![]).await;
        }
        let inside: Vec<String> = column_in(tx.as_mut(), SELECT_NOTES, params![]).await;
        assert_eq!(inside, ["new"], "a transaction does not see its own tables");
        if kept {
            committed(tx, vec![]).await;
        } else {
            drop(tx);
        }
        let outside: Vec<String> = column(&*store, SELECT_NOTES, params![]).await;
        assert_eq!(
            outside,
            [wanted],
            "G10 is broken: a table was switched though the transaction was committed = {kept}"
        );
    }
    let gone = soon("query", store.query("SELECT id FROM notes__rebuild", params![])).await;
    assert!(gone.is_err(), "a table that was renamed still answers to its old name: {gone:?}");
    run(&*store, "DROP TABLE notes", params![]).await;
    let gone = soon("query", store.query(SELECT_NOTES, params![])).await;
    assert!(
        matches!(gone, Err(StoreError::Statement { .. })),
        "a table that was dropped still answers: {gone:?}"
    );
}

/// The very same statement, after the table under it was switched or changed, answers with what is there now.
pub async fn a_table_that_was_switched_answers_with_its_new_rows_and_columns(
    under_test: &dyn StoreUnderTest,
) {
    const ALL: &str = "SELECT * FROM live ORDER BY 1";
    async fn answer(store: &dyn factstream_core::store::Store) -> Vec<(Vec<String>, usize)> {
        let rows =
            soon(ALL, store.query(ALL, params![])).await.unwrap_or_else(|error| panic!("{ALL}: {error}"));
        rows.iter().map(|row| (row.columns().to_vec(), row.values().len())).collect()
    }
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE live (id BIGINT PRIMARY KEY, old TEXT)", params![]).await;
    run(&*store, "INSERT INTO live (id, old) VALUES (1, 'x')", params![]).await;
    // Often enough that every reader of a pool has the statement prepared.
    for _ in 0..32 {
        at_once((0..4).map(|_| {
            let store = store.clone();
            async move {
                answer(&*store).await;
            }
        }))
        .await;
    }
    let mut tx = begin(&*store).await;
    for sql in [
        "CREATE TABLE live__rebuild (id BIGINT PRIMARY KEY, fresh TEXT, more TEXT)",
        "INSERT INTO live__rebuild (id, fresh, more) VALUES (1, 'x', 'y'), (2, 'x', 'y')",
        "DROP TABLE live",
        "ALTER TABLE live__rebuild RENAME TO live",
    ] {
        execute(tx.as_mut(), sql, params![]).await;
    }
    committed(tx, vec![]).await;
    let row = (vec!["id".to_owned(), "fresh".to_owned(), "more".to_owned()], 3);
    for found in at_once((0..16).map(|_| {
        let store = store.clone();
        async move { answer(&*store).await }
    }))
    .await
    {
        assert_eq!(
            found,
            [row.clone(), row.clone()],
            "G10 is broken: a reader answers from the table before the switch"
        );
    }
    let mut tx = begin(&*store).await;
    execute(tx.as_mut(), "ALTER TABLE live ADD COLUMN another TEXT", params![]).await;
    committed(tx, vec![]).await;
    for found in at_once((0..16).map(|_| {
        let store = store.clone();
        async move { answer(&*store).await }
    }))
    .await
    {
        assert_eq!(found[0].0.len(), 4, "a reader answers without the column that was added: {found:?}");
        assert_eq!(found[0].1, 4, "a reader answers with fewer values than columns");
    }
}

/// What the database refuses is told with the statement, as an error that no retry mends, and nothing stays behind.
pub async fn a_failing_statement_is_named_and_its_transaction_can_be_dropped(
    under_test: &dyn StoreUnderTest,
) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    let failing = [
        ("SELEKT 1", params![]),
        ("INSERT INTO nowhere (id) VALUES ($1)", params![1]),
        ("UPDATE notes SET nothing = 1", params![]),
        (INSERT_NOTE, params![1, "again"]),
        ("INSERT INTO notes (id, note)\nVALUES (1, 'again')", params![]),
        ("DROP TABLE nowhere", params![]),
    ];
    for (sql, params) in failing {
        let first_line = sql.lines().next().expect("a line");
        let mut tx = begin(&*store).await;
        execute(tx.as_mut(), INSERT_NOTE, params![1, "one"]).await;
        let answers = if sql == "SELEKT 1" {
            let inside = soon(sql, tx.query(sql, params.clone())).await.map(|rows| rows.len() as u64);
            [inside, soon(sql, store.query(sql, params)).await.map(|rows| rows.len() as u64)]
        } else {
            let once = soon(sql, tx.execute(sql, params.clone())).await;
            drop(tx);
            tx = begin(&*store).await;
            execute(tx.as_mut(), INSERT_NOTE, params![1, "one"]).await;
            [once, soon(sql, tx.execute_many(sql, vec![params])).await.map(|counts| counts.len() as u64)]
        };
        for answer in answers {
            let Err(error) = answer else { panic!("{sql}: the database must refuse it, but got {answer:?}") };
            let named = matches!(&error, StoreError::Statement { message, .. } if !message.is_empty());
            assert!(
                named,
                "{sql}: what the database refuses is a StoreError::Statement with its message, not {error:?}"
            );
            assert!(
                error.to_string().contains(first_line),
                "the error does not name the statement {first_line:?}: {error}"
            );
            assert!(
                !error.is_transient() && !error.is_infrastructure(),
                "a statement that is wrong stays wrong, but is called transient or the store's fault: {error}"
            );
            let is_taken = sql.starts_with("INSERT INTO notes (id, note)") || sql == INSERT_NOTE;
            assert_eq!(error.is_unique_violation(), is_taken, "{sql}: whether the key was taken: {error:?}");
            assert_eq!(error.constraint().is_some(), is_taken, "{sql}: the constraint by name: {error:?}");
        }
        drop(tx);
        land(&*store, &stream("own"), 1).await;
        assert_eq!(count(&*store, "notes").await, 0, "{sql}: the failed transaction left rows");
    }
}

/// Many callers with transactions at once: each gets its turn.
pub async fn many_transactions_at_once_all_commit(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, CREATE_NOTES, params![]).await;
    at_once((0..64_i64).map(|id| {
        let store = store.clone();
        async move {
            let mut tx = begin(&*store).await;
            execute(tx.as_mut(), INSERT_NOTE, params![id, "own"]).await;
            tokio::task::yield_now().await;
            execute(tx.as_mut(), "UPDATE notes SET note = $2 WHERE id = $1", params![id, "done"]).await;
            committed(tx, vec![appending(&stream("own"), Expected::Any, events(1))]).await;
        }
    }))
    .await;
    let done: Vec<u64> = column(&*store, "SELECT count(*) FROM notes WHERE note = 'done'", params![]).await;
    assert_eq!(done, [64], "rows of transactions that committed are missing");
    assert_sound(&log(&*store).await);
}
