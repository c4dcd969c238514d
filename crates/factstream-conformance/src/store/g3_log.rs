//! G3: the log has no gaps, and its order is the order of the commits.

use crate::StoreUnderTest;
use crate::support::{
    append, appending, assert_sound, at_once, begin, commit, committed, count, event, events, execute, head,
    history, ids, joined, land, land_these, landed, log, log_page, new_ids, run, soon, stream, stream_page,
};
use factstream_core::envelope::{NewEvent, RecordedEvent, StreamId};
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::{Commit, Expected, Outcome, READ_BYTES_MAX, Store, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Follows the log until `done` and nothing is left; every position must come once, in order.
pub(super) async fn tail(store: Arc<dyn Store>, done: Arc<AtomicBool>) -> Vec<RecordedEvent> {
    let mut seen: Vec<RecordedEvent> = Vec::new();
    loop {
        let last_round = done.load(Ordering::SeqCst);
        let after = seen.len() as u64;
        let limit = 1 + seen.len() % 40;
        let page = log_page(&*store, after, limit).await;
        assert!(page.len() <= limit, "read_log gave {} events where {limit} were asked for", page.len());
        if page.is_empty() {
            if last_round {
                return seen;
            }
            let news = soon("wait_beyond", store.wait_beyond(after, Duration::from_millis(200))).await;
            news.unwrap_or_else(|error| panic!("wait_beyond({after}) fails: {error}"));
        }
        for event in page {
            let wanted = seen.len() as u64 + 1;
            let found = event.position;
            assert_eq!(
                found, wanted,
                "G3 is broken: a reader that follows the log must see {wanted} next, but saw {found}"
            );
            seen.push(event);
        }
    }
}

/// What one writer stores, by every way there is: the ids of what was acknowledged.
pub(super) async fn write_mixed(
    store: Arc<dyn Store>,
    writer: usize,
    rounds: usize,
    taken: Uuid,
) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    let shared = |round: usize| stream(format!("shared-{}", (writer + round) % 5));
    for round in 0..rounds {
        let batch = events((writer + round) % 5 + 1);
        let batch_ids = new_ids(&batch);
        match (writer + round) % 8 {
            0..=2 => {
                landed(append(&*store, &shared(round), Expected::Any, batch).await);
                acknowledged.extend(batch_ids);
            }
            3 => {
                let mut tx = noted(&*store, writer * 1_000 + round).await;
                let _ = tx.query("SELECT count(*) FROM notes", params![]).await;
                let second = events(2);
                let second_ids = new_ids(&second);
                let appends = vec![
                    appending(&shared(round), Expected::Any, batch),
                    appending(&shared(round + 1), Expected::Any, second),
                ];
                committed(tx, appends).await;
                acknowledged.extend(batch_ids);
                acknowledged.extend(second_ids);
            }
            4 => drop(noted(&*store, writer * 1_000 + round).await),
            5 => {
                let tx = noted(&*store, writer * 1_000 + round).await;
                let appends = vec![
                    appending(&stream("fresh"), Expected::Any, events(1)),
                    appending(&shared(round), Expected::Exact(1_000_000), batch),
                ];
                let outcome = commit(tx, appends).await;
                assert!(
                    matches!(outcome, Commit::Conflict(_)),
                    "G2 is broken: a commit far ahead became {outcome:?}"
                );
            }
            6 => {
                let outcome = append(&*store, &shared(round), Expected::Exact(1_000_000), batch).await;
                assert!(
                    matches!(outcome, Outcome::Conflict(_)),
                    "G2 is broken: an append far ahead became {outcome:?}"
                );
            }
            _ => {
                let mut batch = batch;
                batch.push(NewEvent { event_id: taken, ..event("{}") });
                let answer =
                    soon("append", store.append(appending(&shared(round), Expected::Any, batch), None)).await;
                assert!(answer.is_err(), "G1 is broken: an append with a taken event id became {answer:?}");
            }
        }
    }
    acknowledged
}

/// A transaction that has written a row.
async fn noted(store: &dyn Store, id: usize) -> Box<dyn Transaction> {
    let mut tx = begin(store).await;
    execute(tx.as_mut(), "INSERT INTO notes (id) VALUES ($1)", params![id]).await;
    tx
}

/// Makes what [`write_mixed`] needs; the id of an event that is taken.
pub(super) async fn before_mixed(store: &dyn Store) -> Uuid {
    run(store, "CREATE TABLE notes (id BIGINT PRIMARY KEY)", params![]).await;
    let taken = event("{}");
    land_these(store, &stream("taken"), vec![taken.clone()]).await;
    taken.event_id
}

/// Checks what readers saw against what writers were told.
pub(super) async fn assert_seen_is_acknowledged(
    store: &dyn Store,
    seen: &[RecordedEvent],
    mut acknowledged: Vec<Uuid>,
) {
    let whole = log(store).await;
    assert_eq!(
        seen, whole,
        "G3 is broken: a reader that followed the log saw other events than the log holds now"
    );
    assert_sound(&whole);
    let mut stored = ids(&whole);
    stored.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(
        stored, acknowledged,
        "G1 is broken: the log holds other events than those that were acknowledged"
    );
}

/// Readers that follow the log while it is written in every way: each position once, in order, none missed.
pub async fn a_reader_that_follows_the_log_misses_nothing(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let taken = before_mixed(&*store).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3).map(|_| tokio::spawn(tail(store.clone(), done.clone()))).collect();
    let written = at_once((0..12).map(|writer| write_mixed(store.clone(), writer, 24, taken))).await;
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = vec![taken];
    acknowledged.extend(written.into_iter().flatten());
    for reader in readers {
        let seen = joined(reader).await;
        assert_seen_is_acknowledged(&*store, &seen, acknowledged.clone()).await;
    }
}

/// Whoever got the answer to an append finds its events, at the version and position that it was told.
pub async fn an_acknowledged_append_is_visible_at_once(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    at_once((0..16).map(|writer| {
        let store = store.clone();
        async move {
            let own = stream(format!("own-{writer}"));
            for round in 1..=8_u64 {
                let batch = events(2);
                let last = batch[1].event_id;
                let told = if round % 2 == 0 {
                    landed(append(&*store, &own, Expected::Exact((round - 1) * 2), batch).await)
                } else {
                    committed(begin(&*store).await, vec![appending(&own, Expected::Any, batch)])
                        .await
                        .remove(0)
                };
                assert_eq!(
                    (&told.stream, told.version),
                    (&own, round * 2),
                    "an append is told a wrong stream or version"
                );
                let in_log = log_page(&*store, told.position - 1, 1).await;
                assert_eq!(
                    ids(&in_log),
                    [last],
                    "read_log does not give an acknowledged event at its position"
                );
                let in_stream = stream_page(&*store, &own, told.version - 1, 10).await;
                assert_eq!(
                    ids(&in_stream),
                    [last],
                    "read_stream does not give an acknowledged event at its version"
                );
                assert!(
                    head(&*store).await >= told.position,
                    "wait_beyond tells a head behind an acknowledged event"
                );
                let sql = "SELECT position FROM events WHERE event_id = $1";
                let by_query: Vec<u64> = crate::support::column(&*store, sql, params![last]).await;
                assert_eq!(by_query, [told.position], "query does not find an acknowledged event");
            }
        }
    }))
    .await;
    assert_sound(&log(&*store).await);
}

/// Pages of any size, put together, are the log; a limit is never exceeded; beyond the head there is nothing.
pub async fn the_log_is_read_in_pages(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    assert_eq!(log_page(&*store, 0, 10).await, [], "an empty log has no events");
    assert_eq!(head(&*store).await, 0, "the head of an empty log is 0");
    for writer in 0..10 {
        land(&*store, &stream(format!("s-{}", writer % 3)), 5).await;
    }
    let whole = log(&*store).await;
    assert_eq!(whole.len(), 50, "G3 is broken: not all events are in the log");
    assert_sound(&whole);
    for limit in [0, 1, 7, 49, 50, 51, 1_000_000] {
        for after in [0_usize, 1, 25, 49, 50, 51, 1_000_000] {
            let from = after.min(50);
            let wanted = &whole[from..50.min(from.saturating_add(limit))];
            let found = log_page(&*store, after as u64, limit).await;
            assert_eq!(
                found, wanted,
                "G3 is broken: read_log({after}, {limit}) gives other events than the log holds"
            );
        }
    }
}

/// G13: however many events are asked for, one read has a limit in bytes; none is skipped by it.
pub async fn of_large_events_few_are_read_at_once(under_test: &dyn StoreUnderTest) {
    const LARGE: usize = 1_000_000;
    let store = under_test.open().await;
    let large = stream("large");
    for _ in 0..20 {
        let one = event(format!(r#"{{"text":"{}"}}"#, "x".repeat(LARGE)));
        landed(append(&*store, &large, Expected::Any, vec![one]).await);
    }
    for of_the_log in [true, false] {
        let mut seen = 0;
        while seen < 20 {
            let page = match of_the_log {
                true => log_page(&*store, seen, 1_000).await,
                false => stream_page(&*store, &large, seen, 1_000).await,
            };
            let bytes: usize = page.iter().map(|event| event.data.len()).sum();
            assert!(bytes < READ_BYTES_MAX + 2 * LARGE, "G13 is broken: one read has {bytes} bytes");
            let positions: Vec<u64> = page.iter().map(|event| event.position).collect();
            let wanted: Vec<u64> = (seen + 1..=seen + page.len() as u64).collect();
            assert!(!page.is_empty() && positions == wanted, "G3 is broken: {positions:?} after {seen}");
            seen += page.len() as u64;
        }
    }
}

/// Pages of a stream hold its events alone, in order, also beside streams with similar names.
pub async fn a_stream_is_read_in_pages(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let named = |aggregate_type: &str, id: &str| StreamId::new(aggregate_type, id).expect("a valid id");
    let streams = [
        named("order", "1"),
        named("order", "10"),
        named("order1", "0"),
        named("Order", "1"),
        named("stock", "1"),
        named("order/1", "1"),
    ];
    for round in 0..4 {
        for stream in &streams {
            land(&*store, stream, 1 + round).await;
        }
    }
    let whole = log(&*store).await;
    assert_sound(&whole);
    for stream in &streams {
        let own: Vec<RecordedEvent> =
            whole.iter().filter(|event| event.stream() == *stream).cloned().collect();
        assert_eq!(own.len(), 10, "G3 is broken: not all events of {stream} are in the log");
        for limit in [0, 1, 3, 10, 11, 1_000_000] {
            for after in [0_usize, 1, 5, 9, 10, 11, 1_000_000] {
                let from = after.min(10);
                let wanted = &own[from..10.min(from.saturating_add(limit))];
                let found = stream_page(&*store, stream, after as u64, limit).await;
                assert_eq!(
                    found, wanted,
                    "read_stream({stream}, {after}, {limit}) gives other events than the stream holds"
                );
            }
        }
    }
    assert_eq!(history(&*store, &named("order", "2")).await, [], "a stream that does not exist has events");
}

/// What is rolled back, refused or in conflict takes no position.
pub async fn what_is_rolled_back_takes_no_position(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let taken = before_mixed(&*store).await;
    for round in 0..40 {
        let before = head(&*store).await;
        // Of the ways to write, those that store nothing.
        write_mixed(store.clone(), 4 + round % 4, 1, taken).await;
        assert_eq!(head(&*store).await, before, "G3 is broken: something that was not stored moved the head");
        let next = land(&*store, &stream("own"), 1).await;
        assert_eq!(next.position, before + 1, "G3 is broken: something that was not stored took a position");
    }
    assert_eq!(count(&*store, "notes").await, 0, "G1 is broken: SQL that was rolled back is stored");
}

/// Positions of deleted rows are not given out again, so that no reader's checkpoint hides a new event.
pub async fn a_deleted_position_is_not_used_again(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    land(&*store, &stream("kept"), 2).await;
    let deleted = land(&*store, &stream("deleted"), 3).await;
    let touched = run(&*store, "DELETE FROM events WHERE position > $1", params![2]).await;
    assert_eq!(touched, 3, "the newest rows can be deleted by SQL");
    let next = land(&*store, &stream("kept"), 1).await;
    assert!(next.position > deleted.position, "G3 is broken: position {} was given out again", next.position);
    run(&*store, "DELETE FROM events WHERE position > $1", params![2]).await;
    drop(store);
    let store = under_test.open().await;
    let last = land(&*store, &stream("other"), 1).await;
    let seen = next.position;
    assert!(
        last.position > seen,
        "G3 is broken: after opening again position {} was given out again",
        last.position
    );
    let found = log_page(&*store, seen, 10).await;
    assert_eq!(
        found.len(),
        1,
        "G3 is broken: a reader at position {seen} does not see the event appended after that"
    );
}

/// The table `events` has the columns of the contract, and they say what the reads say.
pub async fn the_events_table_says_what_the_reads_say(under_test: &dyn StoreUnderTest) {
    const EVENTS: &str = "SELECT position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, \
                          event_data, metadata, timestamp FROM events ORDER BY position";
    fn recorded(row: &Row) -> Result<RecordedEvent, factstream_core::sql::RowError> {
        Ok(RecordedEvent {
            position: row.get("position")?,
            aggregate_type: row.get("aggregate_type")?,
            aggregate_id: row.get("aggregate_id")?,
            version: row.get("version")?,
            event_id: row.get("event_id")?,
            event_type: row.get("event_type")?,
            schema_version: row.get("schema_version")?,
            data: row.get("event_data")?,
            metadata: row.get("metadata")?,
            timestamp: row.get("timestamp")?,
        })
    }
    let store = under_test.open().await;
    for writer in 0..4 {
        land(&*store, &stream(format!("s-{writer}")), 3).await;
    }
    let wanted = log(&*store).await;
    let rows = soon("query", store.query(EVENTS, params![]))
        .await
        .unwrap_or_else(|error| panic!("{EVENTS}: {error}"));
    let outside: Result<Vec<_>, _> = rows.iter().map(recorded).collect();
    assert_eq!(outside.as_ref(), Ok(&wanted), "the table events, by query");
    let mut tx = begin(&*store).await;
    let rows =
        soon("query", tx.query(EVENTS, params![])).await.unwrap_or_else(|error| panic!("{EVENTS}: {error}"));
    let inside: Result<Vec<_>, _> = rows.iter().map(recorded).collect();
    assert_eq!(inside.as_ref(), Ok(&wanted), "the table events, in a transaction");
}
