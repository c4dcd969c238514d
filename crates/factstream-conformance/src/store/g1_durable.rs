//! G1: an append is atomic and durable, and what it stored comes back to the letter.

use crate::StoreUnderTest;
use crate::support::{
    append, appending, assert_sound, at_once, begin, column, commit, count, event, events, execute, head,
    history, ids, land, land_these, landed, log, new_ids, run, soon, stream, submit,
};
use factstream_core::envelope::NewEvent;
use factstream_core::params;
use factstream_core::store::{Commit, Conflict, Expected, Outcome};

/// JSON that a careless engine normalizes: spaces, order, duplicate keys, numbers, escapes.
const JSON: [&str; 14] = [
    "{}",
    "{ }",
    " \n\t{\"a\" :  1 ,\r\n \"b\":2}\n ",
    r#"{"z":1,"a":2,"m":3}"#,
    r#"{"same":1,"same":2,"same":1}"#,
    r#"{"big":123456789012345678901234567890,"small":0.1000000000000000055511151231257827}"#,
    r#"{"exponent":1E+400,"zero":-0,"float":1.0,"trailing":1.50}"#,
    r#"{"escapes":"\u00e4\u0041\/\b\f\n\r\t\"\\"}"#,
    r#"{"nul":"\u0000","pair":"\ud83d\ude00","lone":"\ud83d"}"#,
    r#"{"emoji":"😀👩‍👩‍👧‍👦","text":"ä ß 漢字 العربية","key ü":"\u2028"}"#,
    r#"{"":"","empty":{},"list":[],"deep":[[[[[[{"a":[null,true,false]}]]]]]]}"#,
    r#"{"sql":"'; DROP TABLE events; --","quotes":"\"'`$1 ?1 :a @b"}"#,
    r#"{"9":1,"10":2,"true":null}"#,
    r#"{"max":18446744073709551615,"min":-9223372036854775808}"#,
];

/// What was acknowledged is there, whole and unchanged, after the store was dropped and opened again.
pub async fn acknowledged_appends_are_there_after_reopening(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let appends = at_once((0..32).map(|writer| {
        let store = store.clone();
        async move {
            let events = events(writer % 4 + 1);
            (
                new_ids(&events),
                landed(append(&*store, &stream(format!("s-{}", writer % 5)), Expected::Any, events).await),
            )
        }
    }));
    let mut acknowledged = appends.await;
    let by_transaction = events(3);
    let tx = begin(&*store).await;
    let outcome =
        commit(tx, vec![appending(&stream("by-transaction"), Expected::Exact(0), by_transaction.clone())])
            .await;
    let Commit::Committed(appended) = outcome else {
        panic!("G1: a commit met {outcome:?} in a stream of its own")
    };
    acknowledged.push((new_ids(&by_transaction), appended[0].clone()));
    let before = log(&*store).await;
    drop(store);

    let store = under_test.open().await;
    let after = log(&*store).await;
    assert_eq!(after, before, "G1 is broken: the log differs after the store was opened again");
    assert_sound(&after);
    for (events, appended) in acknowledged {
        let last = usize::try_from(appended.position).expect("small");
        let stored = after.get(last - events.len()..last).unwrap_or_default();
        assert_eq!(
            ids(stored),
            events,
            "G1 is broken: acknowledged events of {appended:?} are not at their positions"
        );
    }
    let next = land(&*store, &stream("s-0"), 1).await;
    assert_eq!(
        next.position,
        after.len() as u64 + 1,
        "G3 is broken: the log does not go on after opening again"
    );
}

/// Every character of data and metadata comes back, by each way of writing and each way of reading.
pub async fn json_text_is_kept_to_the_letter(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let written: Vec<NewEvent> = JSON
        .iter()
        .zip(JSON.iter().rev())
        .map(|(data, metadata)| NewEvent { metadata: (*metadata).into(), ..event(*data) })
        .collect();
    let (appended, committed) = (stream("appended"), stream("committed"));
    land_these(&*store, &appended, written.clone()).await;
    let again: Vec<NewEvent> =
        written.iter().map(|event| NewEvent { event_id: uuid::Uuid::now_v7(), ..event.clone() }).collect();
    let tx = begin(&*store).await;
    crate::support::committed(tx, vec![appending(&committed, Expected::Exact(0), again)]).await;
    drop(store);

    let store = under_test.open().await;
    let whole = log(&*store).await;
    let (first, second) = whole.split_at(written.len());
    let ways = [
        ("append, read_stream", history(&*store, &appended).await),
        ("append, read_log", first.to_vec()),
        ("commit, read_stream", history(&*store, &committed).await),
        ("commit, read_log", second.to_vec()),
    ];
    for (way, stored) in ways {
        assert_eq!(stored.len(), written.len(), "G1 is broken: {way}: not all events are there");
        for (stored, written) in stored.iter().zip(&written) {
            assert_eq!(stored.data, written.data, "{way}: the data's JSON text is not kept to the letter");
            assert_eq!(
                stored.metadata, *written.metadata,
                "{way}: the metadata's JSON text is not kept to the letter"
            );
        }
    }
    let texts: Vec<String> =
        column(&*store, "SELECT event_data FROM events ORDER BY position", params![]).await;
    assert_eq!(texts[..JSON.len()], JSON, "the column event_data does not hold the exact JSON text");
}

/// Id, type, schema version and time come back as they were given, times to the microsecond.
pub async fn every_field_of_an_event_comes_back(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let times = [
        "1969-12-31T23:59:59.999999Z",
        "2026-11-23T13:31:14.000001Z",
        "2000-02-29T00:00:00Z",
        "9999-01-01T00:00:00.1Z",
    ];
    let written: Vec<NewEvent> = times
        .iter()
        .zip([1, 2, 65_536, i32::MAX.cast_unsigned()])
        .map(|(time, schema_version)| NewEvent {
            event_type: format!("Type.of-{schema_version}_ä"),
            schema_version,
            timestamp: time.parse().expect("a time"),
            ..event("{}")
        })
        .collect();
    let stream = stream("fields");
    land_these(&*store, &stream, written.clone()).await;
    let stored = history(&*store, &stream).await;
    assert_eq!(stored.len(), written.len(), "G1 is broken: not all events are there");
    for ((version, stored), written) in (1..).zip(&stored).zip(&written) {
        let found =
            (stored.event_id, &stored.event_type, stored.schema_version, stored.timestamp, stored.version);
        let wanted =
            (written.event_id, &written.event_type, written.schema_version, written.timestamp, version);
        assert_eq!(found, wanted, "an event comes back changed (id, type, schema version, time, version)");
        assert_eq!(stored.stream(), stream, "an event comes back with another stream");
    }
}

/// A second event with a known id, wherever in the append it stands, keeps all of the append out.
pub async fn a_duplicate_event_id_anywhere_stores_none_of_the_append(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let known = event("{}");
    land_these(&*store, &stream("known"), vec![known.clone()]).await;
    for at in 0..3 {
        let mut with_known = events(3);
        with_known[at].event_id = known.event_id;
        let mut with_itself = events(3);
        with_itself[at].event_id = with_itself[(at + 1) % 3].event_id;
        for (what, events) in [("a stored event's", with_known), ("a neighbour's", with_itself)] {
            let append = appending(&stream("new"), Expected::Exact(0), events);
            let answer = soon("append", store.append(append, None)).await;
            let Err(error) = answer else {
                panic!("G1 is broken: event {at} had {what} id, but got {answer:?}")
            };
            assert!(
                !error.is_transient(),
                "an event id that is taken stays taken, but is called transient: {error}"
            );
            let left = history(&*store, &stream("new")).await;
            assert_eq!(left, [], "G1 is broken: part of an append is stored; its event {at} had {what} id");
        }
    }
    assert_eq!(head(&*store).await, 1, "G3 is broken: refused appends moved the head");
    let next = land(&*store, &stream("new"), 1).await;
    assert_eq!(
        (next.version, next.position),
        (1, 2),
        "G3 is broken: refused appends left a gap (version, position)"
    );
}

/// Appends that wait together, some of them refused for each reason there is: each has its own fate.
pub async fn refused_appends_do_not_touch_their_neighbours(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let known = event("{}");
    land_these(&*store, &stream("known"), vec![known.clone()]).await;
    let mut landing = vec![known.event_id];
    for round in 0..8 {
        let answers = at_once((0..32).map(|writer| {
            let (store, taken) = (store.clone(), known.event_id);
            async move {
                let mut batch = events(writer % 3 + 1);
                // Two streams are shared by good and refused appends, the others stand alone.
                let stream =
                    stream(format!("{round}-{}", if writer % 2 == 0 { writer } else { 1000 + writer % 4 }));
                let mut expected = Expected::Any;
                match writer % 8 {
                    2 => batch[0].event_id = taken,
                    5 => batch.push(NewEvent { event_id: taken, ..event("{}") }),
                    6 | 7 => expected = Expected::Exact(99),
                    _ => {}
                }
                let ids = new_ids(&batch);
                (writer, ids, soon("append", store.append(appending(&stream, expected, batch), None)).await)
            }
        }))
        .await;
        for (writer, ids, answer) in answers {
            match (writer % 8, answer) {
                (2 | 5, Err(_)) | (6 | 7, Ok(Outcome::Conflict(Conflict { expected: 99, .. }))) => {}
                (0 | 1 | 3 | 4, Ok(Outcome::Appended(_))) => landing.extend(ids),
                (2 | 5, Ok(other)) => {
                    panic!("G1 is broken: an append with a taken event id became {other:?}")
                }
                (6 | 7, other) => {
                    panic!("G2 is broken: an append at a version that is not met became {other:?}")
                }
                (_, other) => panic!("G1 is broken: a good append was hurt by refused neighbours: {other:?}"),
            }
        }
    }
    let whole = log(&*store).await;
    assert_sound(&whole);
    let (mut stored, mut wanted) = (ids(&whole), landing);
    stored.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(stored, wanted, "G1 is broken: the log holds other events than those that were acknowledged");
}

/// A transaction whose append is refused leaves nothing, also not its SQL and its other appends.
pub async fn a_duplicate_event_id_in_a_transaction_rolls_all_of_it_back(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE effects (id BIGINT PRIMARY KEY)", params![]).await;
    let known = event("{}");
    land_these(&*store, &stream("known"), vec![known.clone()]).await;
    let mut tx = begin(&*store).await;
    execute(tx.as_mut(), "INSERT INTO effects (id) VALUES ($1)", params![1]).await;
    let appends = vec![
        appending(&stream("first"), Expected::Exact(0), events(2)),
        appending(&stream("second"), Expected::Any, vec![event("{}"), known]),
    ];
    let answer = soon("commit", tx.commit(appends)).await;
    assert!(answer.is_err(), "G1 is broken: a commit with an event id that is taken became {answer:?}");
    assert_eq!(count(&*store, "effects").await, 0, "G1 is broken: SQL of a refused transaction is stored");
    assert_eq!(log(&*store).await.len(), 1, "G1 is broken: events of a refused transaction are stored");
    let next = land(&*store, &stream("first"), 1).await;
    assert_eq!(next.position, 2, "G3 is broken: a refused transaction left a gap");
}

/// Whoever gives up waiting for an append leaves it whole or absent, and the store at work.
pub async fn an_append_that_is_given_up_is_whole_or_absent(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let mut running = Vec::new();
    for writer in 0..64 {
        let (store, id) = (store.clone(), stream(format!("s-{writer}")));
        running.push(tokio::spawn(async move {
            submit(&*store, appending(&id, Expected::Exact(0), events(3)), None).await
        }));
        if writer % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for task in &running {
        task.abort();
    }
    for task in running {
        let _ = task.await;
    }
    let last = land(&*store, &stream("last"), 1).await;
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(
        whole.last().map(|event| event.position),
        Some(last.position),
        "G3 is broken: the head is not the last"
    );
    for writer in 0..64 {
        let stored = history(&*store, &stream(format!("s-{writer}"))).await.len();
        assert!(stored == 0 || stored == 3, "G1 is broken: {stored} of 3 events of one append are stored");
    }
}
