//! Hostile input: whatever stands in ids, keys and texts is data, and large or odd numbers are answered.

use crate::StoreUnderTest;
use crate::support::{
    append, appending, assert_sound, at_once, begin, column, committed, count, event, events, execute,
    history, ids, key, land, land_these, landed, log, log_page, new_ids, run, soon, stream, stream_page,
    submit,
};
use factstream_core::envelope::{ID_BYTES_MAX, NewEvent, RecordedEvent, StreamId};
use factstream_core::params;
use factstream_core::sql::Value;
use factstream_core::store::{CommandKey, Conflict, Expected, Outcome, StoreError, TableRows};

const TEXTS: [&str; 12] = [
    "'; DROP TABLE events; --",
    "\" OR 1=1 --",
    "\\'; DELETE FROM events; /*",
    "$1",
    "?1 :name @name %s {}",
    "%_",
    "NULL",
    "😀👩‍👩‍👧‍👦",
    "ä漢字العربية",
    "../../etc/passwd",
    "{\"a\":1}",
    " leading and trailing ",
];

/// No NUL and no line break can be part of an id or a key; the core refuses them before any engine sees them.
pub async fn control_characters_never_reach_the_store(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    for text in ["\0", "a\0b", "line\nbreak", "tab\t", "\u{7f}", "\u{85}", ""] {
        assert!(StreamId::new("order", text).is_err(), "the id {text:?} was taken");
        assert!(StreamId::new(text, "o-1").is_err(), "the aggregate type {text:?} was taken");
        assert!(CommandKey::new(text, "command").is_err(), "the key {text:?} was taken");
    }
    assert!(
        StreamId::new("order", "x".repeat(ID_BYTES_MAX + 1)).is_err(),
        "an id that is too long was taken"
    );
    land(&*store, &stream("x".repeat(ID_BYTES_MAX)), 1).await;
    assert_eq!(history(&*store, &stream("x".repeat(ID_BYTES_MAX))).await.len(), 1, "the longest id");
}

/// SQL in ids, keys, types, data and metadata does nothing and comes back.
pub async fn injected_sql_comes_back_to_the_letter(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    for text in TEXTS {
        let id = StreamId::new(text, text).expect("a valid id");
        let json = format!("{{\"text\":\"{}\"}}", text.replace('\\', "\\\\").replace('"', "\\\""));
        let written =
            NewEvent { event_type: text.into(), metadata: json.as_str().into(), ..event(json.clone()) };
        let first =
            submit(&*store, appending(&id, Expected::Exact(0), vec![written.clone()]), Some(key(text, text)))
                .await;
        let done = landed(first);
        assert_eq!(done.stream, id, "an append is told another stream");
        let stored = history(&*store, &id).await;
        assert_eq!(stored.len(), 1, "the stream of {text:?}");
        let RecordedEvent { aggregate_type, aggregate_id, event_type, data, metadata, .. } = &stored[0];
        let found = [aggregate_type, aggregate_id, event_type, data, metadata];
        assert_eq!(
            found,
            [text, text, text, &json, &json],
            "aggregate type, id, event type, data and metadata of {text:?}"
        );
        let repeat = submit(&*store, appending(&id, Expected::Any, events(1)), Some(key(text, text))).await;
        assert_eq!(repeat, Outcome::Repeated(done), "G4 is broken: the key {text:?} is not found again");
        let reused =
            submit(&*store, appending(&id, Expected::Any, events(1)), Some(key(text, "other"))).await;
        let wanted = Outcome::KeyReused { key: text.into(), first_used_for: text.into() };
        assert_eq!(reused, wanted, "G4 is broken: the fingerprint {text:?} is not told to the letter");
        let conflict = append(&*store, &id, Expected::Exact(9), events(1)).await;
        let wanted = Outcome::Conflict(Conflict { stream: id, expected: 9, actual: 1 });
        assert_eq!(conflict, wanted, "G2 is broken: a conflict in the stream of {text:?}");
    }
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(whole.len(), TEXTS.len(), "the log holds other events than those that were appended");
}

/// Case, spaces, accents and the border between type and id tell streams apart; so do they keys.
pub async fn ids_that_look_alike_are_different_streams(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let pairs = [
        ("order", "a"),
        ("order", "A"),
        ("Order", "a"),
        ("order", "a "),
        ("order", " a"),
        ("order", "ä"),
        ("order", "a\u{308}"),
        ("order/a", "b"),
        ("order", "a/b"),
        ("order", "а"),
        ("order-a", "b"),
        ("order", "a-b"),
        ("order", "1"),
        ("order", "01"),
        ("order", "1.0"),
        ("order", "1e0"),
        ("order", "\u{200b}a"),
        ("order", "ss"),
        ("order", "ß"),
    ];
    for (aggregate_type, id) in pairs {
        let stream = StreamId::new(aggregate_type, id).expect("a valid id");
        let append = appending(&stream, Expected::Exact(0), events(1));
        let outcome = submit(&*store, append, Some(key(&format!("{aggregate_type}|{id}"), "command"))).await;
        let fresh = matches!(&outcome, Outcome::Appended(appended) if appended.stream == stream && appended.version == 1);
        assert!(fresh, "{aggregate_type:?} {id:?} is taken for another stream or key: {outcome:?}");
    }
    for (aggregate_type, id) in pairs {
        let stream = StreamId::new(aggregate_type, id).expect("a valid id");
        assert_eq!(
            history(&*store, &stream).await.len(),
            1,
            "the stream {aggregate_type:?} {id:?} holds events of another"
        );
    }
}

/// NUL in a text parameter: kept to the letter, or an error; never a shorter text.
pub async fn a_text_with_nul_is_kept_or_refused_but_never_cut(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE texts (words TEXT)", params![]).await;
    let text = "before\0after";
    let mut tx = begin(&*store).await;
    if soon("execute", tx.execute("INSERT INTO texts (words) VALUES ($1)", params![text])).await.is_ok() {
        committed(tx, vec![]).await;
        let found: Vec<String> = column(&*store, "SELECT words FROM texts", params![]).await;
        assert_eq!(found, [text], "a text with NUL was changed");
    } else {
        drop(tx);
    }
    let odd = NewEvent { event_type: "Odd\0Type".into(), ..event("{}") };
    match soon("append", store.append(appending(&stream("own"), Expected::Any, vec![odd]), None)).await {
        Ok(outcome) => {
            landed(outcome);
            let stored = history(&*store, &stream("own")).await;
            assert_eq!(stored[0].event_type, "Odd\0Type", "an event type with NUL was changed");
        }
        Err(_) => assert_eq!(log(&*store).await, [], "an append that failed is stored"),
    }
    let with_nul = NewEvent { data: "{\"text\":\"a\0b\"}".into(), ..event("") };
    match soon("append", store.append(appending(&stream("two"), Expected::Any, vec![with_nul.clone()]), None))
        .await
    {
        Ok(outcome) => {
            landed(outcome);
            let stored = history(&*store, &stream("two")).await;
            assert_eq!(stored[0].data, with_nul.data, "data with NUL was changed");
        }
        Err(_) => assert_eq!(history(&*store, &stream("two")).await, [], "an append that failed is stored"),
    }
    land(&*store, &stream("after"), 1).await;
}

/// Data that is no JSON object, and metadata that nobody can read: refused by append and by commit, and nothing is stored.
pub async fn an_event_that_nobody_could_read_or_publish_is_refused(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let with = |data: &str, metadata: &str| NewEvent { metadata: metadata.into(), ..event(data) };
    let source = r#"{"source":"conformance"}"#;
    let refused = [
        with("[1]", source),
        with("null", source),
        with("", source),
        with("{\"a\":", source),
        with("{}", "null"),
        with("{}", r#"{"source":5}"#),
        with("{}", r#"{"source":"a","topic":"no topic"}"#),
    ];
    for bad in refused {
        let appends = || appending(&stream("bad"), Expected::Any, vec![event("{}"), bad.clone()]);
        let answer = soon("append", store.append(appends(), None)).await;
        assert!(matches!(answer, Err(StoreError::Unrecordable { .. })), "{bad:?} came to {answer:?}");
        let tx = begin(&*store).await;
        let answer = soon("commit", tx.commit(vec![appends()])).await;
        assert!(matches!(answer, Err(StoreError::Unrecordable { .. })), "{bad:?} came to {answer:?}");
    }
    assert_eq!(log(&*store).await, [], "what was refused is stored");
    land(&*store, &stream("bad"), 1).await;
}

/// One large event, between small ones, by append and by transaction.
pub async fn an_event_of_a_megabyte_is_kept(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let large = event(format!("{{\"text\":\"{}\"}}", "ä😀x'\\\"".repeat(110_000)));
    assert!(large.data.len() > 1024 * 1024, "the event is large");
    let written = vec![event("{}"), large.clone(), event("{}")];
    land_these(&*store, &stream("large"), written.clone()).await;
    let again = NewEvent { event_id: uuid::Uuid::now_v7(), ..large.clone() };
    committed(begin(&*store).await, vec![appending(&stream("large"), Expected::Exact(3), vec![again])]).await;
    let stored = history(&*store, &stream("large")).await;
    assert_eq!(stored.len(), 4, "not all events are there");
    assert_eq!(ids(&stored[..3]), new_ids(&written), "the events around a large one");
    assert!(
        stored[1].data == large.data && stored[3].data == large.data,
        "an event of a megabyte came back changed"
    );
}

/// A thousand events: atomic, in order, beside other appends; by append and by transaction.
pub async fn a_thousand_events_in_one_append_are_kept(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let large = events(1_000);
    let wanted = new_ids(&large);
    let (one, beside) = (store.clone(), store.clone());
    let appending_large =
        async move { landed(append(&*one, &stream("large"), Expected::Exact(0), large).await).version };
    let small = async move {
        for _ in 0..20 {
            land(&*beside, &stream("small"), 1).await;
        }
        1_000
    };
    let both: Vec<std::pin::Pin<Box<dyn Future<Output = u64> + Send>>> =
        vec![Box::pin(appending_large), Box::pin(small)];
    assert_eq!(at_once(both).await, [1_000, 1_000], "the version after a thousand events");
    let stored = history(&*store, &stream("large")).await;
    assert_eq!(
        ids(&stored),
        wanted,
        "G1 is broken: a thousand events in one append are not all there, in order"
    );
    let first = stored[0].position;
    assert_eq!(
        stored[999].position,
        first + 999,
        "G3 is broken: other events stand between those of one append"
    );
    committed(begin(&*store).await, vec![appending(&stream("large"), Expected::Exact(1_000), events(1_000))])
        .await;
    assert_sound(&log(&*store).await);
    assert_eq!(log(&*store).await.len(), 2_020, "not all events are there");
}

/// Positions, versions and limits up to the end of `u64`: an answer, no panic and no wrap-around.
pub async fn numbers_out_of_range_are_answered(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let own = stream("own");
    land(&*store, &own, 3).await;
    let far = [i64::MAX.cast_unsigned(), i64::MAX.cast_unsigned() + 1, u64::MAX - 1, u64::MAX];
    for number in far {
        assert_eq!(log_page(&*store, number, 10).await, [], "read_log after {number} gives events");
        assert_eq!(
            stream_page(&*store, &own, number, 10).await,
            [],
            "read_stream after {number} gives events"
        );
        let outcome = append(&*store, &own, Expected::Exact(number), events(1)).await;
        let conflict = matches!(&outcome, Outcome::Conflict(Conflict { actual: 3, .. }));
        assert!(conflict, "G2 is broken: an append expected at version {number} became {outcome:?}");
    }
    for limit in [i64::MAX.cast_unsigned(), u64::MAX] {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        assert_eq!(log_page(&*store, 0, limit).await.len(), 3, "read_log with limit {limit}");
        assert_eq!(stream_page(&*store, &own, 0, limit).await.len(), 3, "read_stream with limit {limit}");
    }
    let largest: Vec<i64> = column(
        &*store,
        "SELECT position FROM events WHERE position <= $1 AND position > $2 ORDER BY position",
        vec![Value::Integer(i64::MAX), Value::Integer(i64::MIN)],
    )
    .await;
    assert_eq!(largest, [1, 2, 3], "a query with the ends of i64");
}

/// A number that the engine cannot hold is refused by every kind of statement, and by name; it is not made smaller.
pub async fn a_number_that_is_too_large_is_refused(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE numbers (id TEXT PRIMARY KEY, number BIGINT)", params![]).await;
    let row = || params!["a", u64::MAX];
    let mut answers = vec![
        store
            .query("SELECT id FROM numbers WHERE id = $1 AND number < $2", row())
            .await
            .map(|rows| rows.len() as u64),
    ];
    let insert = "INSERT INTO numbers (id, number) VALUES ($1, $2)";
    answers.push(begin(&*store).await.execute(insert, row()).await);
    answers.push(begin(&*store).await.execute_many(insert, vec![params!["b", 1], row()]).await.map(|_| 0));
    for rows in [1, 2_000] {
        let mut tx = begin(&*store).await;
        let filler = (1..rows).map(|number| params![format!("f-{number}"), number]);
        let rows = TableRows {
            table: "numbers".into(),
            columns: vec!["id".into(), "number".into()],
            rows: filler.chain([row()]).collect(),
            replace_by: vec![0],
        };
        answers.push(tx.write_rows(rows).await.map(|()| 0));
    }
    for answer in answers {
        let error = answer.expect_err("a number that no engine can hold was taken");
        assert!(!error.is_transient() && error.to_string().contains("9223372036854775807"), "{error}");
    }
    let kept: Vec<String> = column(&*store, "SELECT id FROM numbers", params![]).await;
    assert!(kept.is_empty(), "what was refused left {kept:?}");
}

/// 64 readers of all kinds beside writers: none is refused, none sees half of anything.
pub async fn many_readers_and_writers_do_not_fail_each_other(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE notes (id BIGINT PRIMARY KEY)", params![]).await;
    at_once((0..80_usize).map(|task| {
        let store = store.clone();
        async move {
            let own = stream(format!("s-{}", task % 4));
            for round in 0..10 {
                match task % 5 {
                    0 if task % 2 == 0 => drop(land(&*store, &own, 3).await),
                    0 => {
                        let mut tx = begin(&*store).await;
                        execute(
                            tx.as_mut(),
                            "INSERT INTO notes (id) VALUES ($1)",
                            params![task * 100 + round],
                        )
                        .await;
                        committed(tx, vec![appending(&own, Expected::Any, events(3))]).await;
                    }
                    1 => assert_sound(&log(&*store).await),
                    2 => {
                        let stored = history(&*store, &own).await.len();
                        assert_eq!(
                            stored % 3,
                            0,
                            "G1 is broken: a reader sees a part of an append: {stored} events"
                        );
                    }
                    3 => {
                        let seen = count(&*store, "events").await;
                        assert_eq!(
                            seen % 3,
                            0,
                            "G1 is broken: a query sees a part of an append: {seen} events"
                        );
                    }
                    _ => drop(crate::support::head(&*store).await),
                }
            }
        }
    }))
    .await;
    assert_eq!(log(&*store).await.len(), 16 * 10 * 3, "G1 is broken: acknowledged events are missing");
}
