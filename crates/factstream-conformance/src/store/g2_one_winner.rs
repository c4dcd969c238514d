//! G2: of appends at the same expected version exactly one wins; the others learn the true version.

use crate::StoreUnderTest;
use crate::support::{
    append, appending, assert_sound, at_once, begin, column_in, commit, committed, count, event, events,
    execute, history, ids, land, landed, log, new_ids, run, stream,
};
use factstream_core::envelope::{StreamId, Version};
use factstream_core::params;
use factstream_core::store::{Appended, Commit, Conflict, Expected, Outcome, Store};

/// How many of these landed; all others must be conflicts with these numbers.
fn winners(outcomes: Vec<Outcome>, conflict: &Conflict) -> Vec<Appended> {
    let mut winners = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Appended(appended) => winners.push(appended),
            Outcome::Conflict(found) => {
                assert_eq!(&found, conflict, "G2 is broken: a conflict with untrue numbers");
            }
            other => panic!("G2 is broken: an append without a key became {other:?}"),
        }
    }
    winners
}

/// Many at once, at the same version, again and again.
pub async fn exactly_one_of_many_at_one_version_wins(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let contested = stream("contested");
    for round in 0..10_u64 {
        let at = round * 2;
        let outcomes = at_once((0..32).map(|_| {
            let (store, contested) = (store.clone(), contested.clone());
            async move { append(&*store, &contested, Expected::Exact(at), events(2)).await }
        }))
        .await;
        let conflict = Conflict { stream: contested.clone(), expected: at, actual: at + 2 };
        let winners = winners(outcomes, &conflict);
        assert_eq!(winners.len(), 1, "G2 is broken: at version {at} these appends won: {winners:?}");
        assert_eq!(winners[0].version, at + 2, "the winner is told a wrong version");
    }
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(whole.len(), 20, "G2 is broken: events of losers are stored");
}

/// [`Expected::Any`] never conflicts, and every such append has versions of its own.
pub async fn appends_at_any_version_all_land(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let shared = stream("shared");
    let outcomes = at_once((0..64).map(|_| {
        let (store, shared) = (store.clone(), shared.clone());
        async move { landed(append(&*store, &shared, Expected::Any, events(2)).await).version }
    }));
    let mut versions = outcomes.await;
    versions.sort_unstable();
    let wanted: Vec<Version> = (1..=64).map(|n| n * 2).collect();
    assert_eq!(
        versions, wanted,
        "G2 is broken: appends at any version are told the same version, or were lost"
    );
    assert_sound(&log(&*store).await);
}

/// A version that the stream does not have, be it behind or ahead, is a conflict.
pub async fn a_version_that_is_not_the_streams_is_a_conflict(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let (fresh, grown) = (stream("fresh"), stream("grown"));
    land(&*store, &grown, 3).await;
    let cases: [(&StreamId, Version, Version); 7] = [
        (&fresh, 1, 0),
        (&fresh, 5, 0),
        (&grown, 0, 3),
        (&grown, 1, 3),
        (&grown, 2, 3),
        (&grown, 4, 3),
        (&grown, 1_000_000, 3),
    ];
    for (stream, expected, actual) in cases {
        let outcome = append(&*store, stream, Expected::Exact(expected), events(1)).await;
        let wanted = Outcome::Conflict(Conflict { stream: stream.clone(), expected, actual });
        assert_eq!(outcome, wanted, "G2 is broken: {stream} is at {actual}, the append expected {expected}");
    }
    assert_eq!(log(&*store).await.len(), 3, "G2 is broken: an append that met a conflict is stored");
}

/// An append without events and without a key stores nothing and tells where the stream and the log stand.
pub async fn an_append_without_events_tells_where_the_stream_stands(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    land(&*store, &stream("grown"), 3).await;
    land(&*store, &stream("other"), 2).await;
    for (id, version) in [("grown", 3), ("fresh", 0)] {
        let stream = stream(id);
        for expected in [Expected::Any, Expected::Exact(version)] {
            let outcome = append(&*store, &stream, expected, vec![]).await;
            let wanted = Outcome::Appended(Appended { stream: stream.clone(), version, position: 5 });
            assert_eq!(outcome, wanted, "an append without events to {stream} at {expected:?}");
        }
    }
    assert_eq!(log(&*store).await.len(), 5, "G1 is broken: an append without events stored some");
}

/// Many that read, decide and append, and begin anew on a conflict: no update is lost.
pub async fn read_decide_append_loops_lose_no_update(under_test: &dyn StoreUnderTest) {
    const TASKS: u64 = 64;
    const EACH: u64 = 4;
    const STREAMS: u64 = 3;
    let store = under_test.open().await;
    at_once((0..TASKS).map(|task| {
        let (store, counter) = (store.clone(), stream(format!("counter-{}", task % STREAMS)));
        async move {
            for _ in 0..EACH {
                increment(&*store, &counter).await;
            }
        }
    }))
    .await;
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(whole.len() as u64, TASKS * EACH, "G2 is broken: updates were lost or done twice");
    for event in whole {
        let wanted = format!(r#"{{"total":{}}}"#, event.version);
        assert_eq!(
            event.data, wanted,
            "G2 is broken: a decision on an old state was stored as version {}",
            event.version
        );
    }
}

/// Appends the total of the last event, and one more.
async fn increment(store: &dyn Store, counter: &StreamId) {
    loop {
        let version = history(store, counter).await.last().map_or(0, |event| event.version);
        let decided = event(format!(r#"{{"total":{}}}"#, version + 1));
        match append(store, counter, Expected::Exact(version), vec![decided]).await {
            Outcome::Appended(_) => return,
            Outcome::Conflict(conflict) => {
                assert_eq!(
                    conflict.expected, version,
                    "G2 is broken: a conflict tells another expected version"
                );
                assert!(
                    conflict.actual > version,
                    "G2 is broken: a conflict at version {version}, which tells {conflict:?}"
                );
            }
            other => panic!("G2 is broken: an append without a key became {other:?}"),
        }
    }
}

/// One stream that moved on rolls the whole transaction back: its SQL, its DDL and its other appends.
pub async fn a_conflict_in_a_commit_rolls_all_of_it_back(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE effects (id BIGINT PRIMARY KEY)", params![]).await;
    let (moved, fresh) = (stream("moved"), stream("fresh"));
    land(&*store, &moved, 2).await;
    for conflicting_first in [true, false] {
        let mut tx = begin(&*store).await;
        execute(tx.as_mut(), "INSERT INTO effects (id) VALUES ($1)", params![1]).await;
        let mut appends = vec![
            appending(&moved, Expected::Exact(1), events(1)),
            appending(&fresh, Expected::Exact(0), events(2)),
        ];
        if !conflicting_first {
            appends.reverse();
        }
        let outcome = commit(tx, appends).await;
        let wanted = Commit::Conflict(Conflict { stream: moved.clone(), expected: 1, actual: 2 });
        assert_eq!(outcome, wanted, "G2 is broken: a commit on a stream that moved on");
        assert_eq!(
            count(&*store, "effects").await,
            0,
            "G2 is broken: SQL of a conflicting transaction is stored"
        );
        assert_eq!(
            log(&*store).await.len(),
            2,
            "G2 is broken: events of a conflicting transaction are stored"
        );
    }
    let next = land(&*store, &fresh, 1).await;
    assert_eq!((next.version, next.position), (1, 3), "G3 is broken: a conflicting transaction left a gap");
}

/// Appends of one transaction to one stream follow each other; each has an entry with its true place.
pub async fn appends_of_one_commit_to_one_stream_follow_each_other(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let (one, other) = (stream("one"), stream("other"));
    let batches = [events(2), events(1), events(3), events(1)];
    let wanted: Vec<_> = batches.iter().flat_map(|batch| new_ids(batch)).collect();
    let [a, b, c, d] = batches;
    let appends = vec![
        appending(&one, Expected::Exact(0), a),
        appending(&other, Expected::Any, b),
        appending(&one, Expected::Exact(2), c),
        appending(&one, Expected::Any, d),
    ];
    let appended = committed(begin(&*store).await, appends).await;
    let entry = |stream: &StreamId, version, position| Appended { stream: stream.clone(), version, position };
    let entries = [entry(&one, 2, 2), entry(&other, 1, 3), entry(&one, 5, 6), entry(&one, 6, 7)];
    assert_eq!(appended, entries, "a commit tells wrong places of its appends");
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(
        ids(&whole),
        wanted,
        "G3 is broken: a commit's events are not in the order in which they were given"
    );

    let appends =
        vec![appending(&one, Expected::Exact(6), events(1)), appending(&one, Expected::Exact(6), events(1))];
    let outcome = commit(begin(&*store).await, appends).await;
    assert!(
        matches!(&outcome, Commit::Conflict(conflict) if conflict.expected == 6 && conflict.stream == one),
        "G2 is broken: the second of two appends of one commit at the same version must conflict, but: {outcome:?}"
    );
    assert_eq!(log(&*store).await.len(), 7, "G2 is broken: events of a conflicting transaction are stored");
}

/// Appends and transactions that meet at one version: one of them all wins.
pub async fn appends_and_transactions_at_one_version_have_one_winner(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE effects (id BIGINT PRIMARY KEY)", params![]).await;
    let contested = stream("contested");
    let mut by_transaction = 0;
    for round in 0..8_u64 {
        let won = at_once((0..12_i64).map(|writer| {
            let (store, contested) = (store.clone(), contested.clone());
            async move {
                let expected = Expected::Exact(round);
                if writer % 2 == 0 {
                    return (
                        0,
                        matches!(
                            append(&*store, &contested, expected, events(1)).await,
                            Outcome::Appended(_)
                        ),
                    );
                }
                let mut tx = begin(&*store).await;
                let id = i64::try_from(round).expect("small") * 100 + writer;
                execute(tx.as_mut(), "INSERT INTO effects (id) VALUES ($1)", params![id]).await;
                (
                    1,
                    matches!(
                        commit(tx, vec![appending(&contested, expected, events(1))]).await,
                        Commit::Committed(_)
                    ),
                )
            }
        }))
        .await;
        let winners: Vec<u64> =
            won.into_iter().filter_map(|(transaction, won)| won.then_some(transaction)).collect();
        assert_eq!(
            winners.len(),
            1,
            "G2 is broken: {} appends and transactions won at version {round}",
            winners.len()
        );
        by_transaction += winners[0];
    }
    assert_eq!(
        count(&*store, "effects").await,
        by_transaction,
        "G2 is broken: SQL of losing transactions is stored"
    );
    assert_sound(&log(&*store).await);
}

/// Transactions that read the version, change a row and append: the row and the stream end alike.
pub async fn transactions_that_read_then_commit_lose_no_update(under_test: &dyn StoreUnderTest) {
    const VERSION: &str =
        "SELECT coalesce(max(version), 0) FROM events WHERE aggregate_type = $1 AND aggregate_id = $2";
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE totals (id BIGINT PRIMARY KEY, total BIGINT NOT NULL)", params![]).await;
    run(&*store, "INSERT INTO totals (id, total) VALUES (1, 0)", params![]).await;
    let counter = stream("counter");
    at_once((0..16).map(|_| {
        let (store, counter) = (store.clone(), counter.clone());
        async move {
            for _ in 0..4 {
                loop {
                    let mut tx = begin(&*store).await;
                    let params = params![counter.aggregate_type(), counter.id()];
                    let version: Vec<u64> = column_in(tx.as_mut(), VERSION, params).await;
                    execute(tx.as_mut(), "UPDATE totals SET total = total + 1 WHERE id = 1", params![]).await;
                    let append = appending(&counter, Expected::Exact(version[0]), events(1));
                    if let Commit::Committed(_) = commit(tx, vec![append]).await {
                        break;
                    }
                }
            }
        }
    }))
    .await;
    let total: Vec<u64> = crate::support::column(&*store, "SELECT total FROM totals", params![]).await;
    let versions = history(&*store, &counter).await.len() as u64;
    assert_eq!(
        (total[0], versions),
        (64, 64),
        "G2 is broken: rows and events of 64 transactions (total, versions)"
    );
    assert_sound(&log(&*store).await);
}

/// Deleting events, all of a stream or its newest, does not set its version back: no version is taken twice.
pub async fn a_streams_version_outlives_its_events(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let (whole, tail, other) = (stream("whole"), stream("tail"), stream("other"));
    for stream in [&whole, &tail, &other] {
        land(&*store, stream, 3).await;
    }
    let delete = "DELETE FROM events WHERE aggregate_id = $1 AND version >= $2";
    run(&*store, delete, params!["whole", 1]).await;
    run(&*store, delete, params!["tail", 3]).await;
    let other_handle = under_test.open().await;
    for store in [&store, &other_handle] {
        for stream in [&whole, &tail] {
            for expected in [0, 2, 4] {
                let conflict = Conflict { stream: stream.clone(), expected, actual: 3 };
                let outcome = append(&**store, stream, Expected::Exact(expected), events(1)).await;
                let wanted = Outcome::Conflict(conflict.clone());
                assert_eq!(outcome, wanted, "G2 is broken: an append after events were deleted");
                let appends = vec![appending(stream, Expected::Exact(expected), events(1))];
                let outcome = commit(begin(&**store).await, appends).await;
                assert_eq!(outcome, Commit::Conflict(conflict), "G2 is broken: a commit after that");
            }
        }
    }
    // Many at once, new streams among them: the fast way of an engine must not begin one again.
    let outcomes = at_once((0..64).map(|caller| {
        let store = store.clone();
        let stream = match caller % 2 {
            0 => whole.clone(),
            _ => stream(format!("new-{caller}")),
        };
        async move { append(&*store, &stream, Expected::Exact(0), events(1)).await }
    }))
    .await;
    for (caller, outcome) in outcomes.iter().enumerate() {
        let fine = match outcome {
            Outcome::Appended(appended) => caller % 2 == 1 && appended.version == 1,
            Outcome::Conflict(conflict) => caller % 2 == 0 && conflict.actual == 3,
            _ => false,
        };
        assert!(fine, "G2 is broken: beginning a stream whose events were deleted became {outcome:?}");
    }
    let place = landed(append(&*store, &whole, Expected::Exact(3), events(1)).await);
    assert_eq!(place.version, 4, "G2 is broken: a stream does not go on after its events were deleted");
    let place = landed(append(&*store, &tail, Expected::Any, events(1)).await);
    assert_eq!(place.version, 4, "G2 is broken: a deleted version was taken again");
    let done = committed(begin(&*store).await, vec![appending(&other, Expected::Exact(3), events(1))]).await;
    assert_eq!(done[0].version, 4, "a stream that lost nothing");
}
