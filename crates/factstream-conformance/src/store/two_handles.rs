//! Two handles on the same data, as two processes have them: one log, one truth.

use super::g3_log::{assert_seen_is_acknowledged, before_mixed, tail, write_mixed};
use crate::StoreUnderTest;
use crate::support::{
    append, appending, assert_sound, at_once, begin, column, committed, count, events, execute, history, ids,
    joined, key, land, log, new_ids, run, stream, submit,
};
use factstream_core::params;
use factstream_core::store::{Expected, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Several start together on data that nobody has opened yet: the tables are made once, all of them work.
pub async fn stores_that_are_opened_together_on_fresh_data_all_work(under_test: &dyn StoreUnderTest) {
    let open = || under_test.open();
    let (first, second, third, fourth) = tokio::join!(open(), open(), open(), open());
    let stores = [first, second, third, fourth];
    at_once(stores.iter().cloned().map(|store| async move { land(&*store, &stream("shared"), 2).await }))
        .await;
    for store in &stores {
        let whole = log(&**store).await;
        assert_sound(&whole);
        assert_eq!(
            whole.len(),
            8,
            "G1 is broken: of 4 stores that were opened together, one has lost events"
        );
    }
}

/// Appends through both at once: positions without gaps, versions right, nothing lost.
pub async fn appends_by_two_handles_share_one_log(under_test: &dyn StoreUnderTest) {
    let handles = [under_test.open().await, under_test.open().await];
    let written = at_once((0..16_usize).map(|writer| {
        let store = handles[writer % 2].clone();
        async move {
            let mut acknowledged = Vec::new();
            for round in 0..12 {
                let batch = events(round % 3 + 1);
                acknowledged.extend(new_ids(&batch));
                let shared = stream(format!("shared-{}", (writer + round) % 3));
                if round % 4 == 3 {
                    committed(begin(&*store).await, vec![appending(&shared, Expected::Any, batch)]).await;
                } else {
                    let outcome = append(&*store, &shared, Expected::Any, batch).await;
                    assert!(
                        matches!(outcome, Outcome::Appended(_)),
                        "an append at any version became {outcome:?}"
                    );
                }
            }
            acknowledged
        }
    }))
    .await;
    let mut acknowledged: Vec<_> = written.into_iter().flatten().collect();
    acknowledged.sort_unstable();
    for store in &handles {
        let whole = log(&**store).await;
        assert_sound(&whole);
        let mut stored = ids(&whole);
        stored.sort_unstable();
        assert_eq!(
            stored, acknowledged,
            "G1 is broken: the log holds other events than those that were acknowledged"
        );
    }
}

/// At one version, one append of one handle wins.
pub async fn exactly_one_of_two_handles_wins_a_version(under_test: &dyn StoreUnderTest) {
    let handles = [under_test.open().await, under_test.open().await];
    let contested = stream("contested");
    for version in 0..20_u64 {
        let outcomes = at_once((0..8_usize).map(|writer| {
            let (store, contested) = (handles[writer % 2].clone(), contested.clone());
            async move { append(&*store, &contested, Expected::Exact(version), events(1)).await }
        }))
        .await;
        let mut won = 0;
        for outcome in outcomes {
            match outcome {
                Outcome::Appended(_) => won += 1,
                Outcome::Conflict(conflict) => {
                    let told = (conflict.expected, conflict.actual);
                    assert_eq!(told, (version, version + 1), "G2 is broken: a conflict with untrue numbers");
                }
                other => panic!("G2 is broken: an append without a key became {other:?}"),
            }
        }
        assert_eq!(won, 1, "G2 is broken: {won} appends of two handles won version {version}");
    }
    assert_sound(&log(&*handles[0]).await);
}

/// A key that was used through one handle is used for the other.
pub async fn keys_are_shared(under_test: &dyn StoreUnderTest) {
    let handles = [under_test.open().await, under_test.open().await];
    for round in 0..10 {
        let outcomes = at_once((0..16_usize).map(|caller| {
            let store = handles[caller % 2].clone();
            async move {
                let append = appending(&stream(format!("s-{caller}")), Expected::Any, events(1));
                submit(&*store, append, Some(key(&format!("k-{round}"), "command").for_new_id())).await
            }
        }))
        .await;
        let first = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Appended(appended) => Some(appended.clone()),
            _ => None,
        });
        let Some(first) = first else {
            panic!("G4 is broken: key k-{round} never took effect: {outcomes:?}")
        };
        let repeats = outcomes.iter().filter(|outcome| **outcome == Outcome::Repeated(first.clone())).count();
        assert_eq!(
            repeats, 15,
            "G4 is broken: k-{round} was first used for {first:?}, its uses became {outcomes:?}"
        );
    }
    assert_eq!(log(&*handles[1]).await.len(), 10, "G4 is broken: 10 keys stored other than 10 events");
}

/// What one handle was told is stored, the other finds, by every read.
pub async fn a_handle_sees_at_once_what_the_other_acknowledged(under_test: &dyn StoreUnderTest) {
    let handles = [under_test.open().await, under_test.open().await];
    let own = stream("own");
    for round in 0..30_u64 {
        let (writer, reader) =
            (&*handles[usize::from(round % 2 == 0)], &*handles[usize::from(round % 2 != 0)]);
        let appended = append(writer, &own, Expected::Exact(round), events(1)).await;
        assert!(
            matches!(appended, Outcome::Appended(_)),
            "an append at the version that both saw became {appended:?}"
        );
        assert_eq!(
            history(reader, &own).await.len() as u64,
            round + 1,
            "the other handle's read_stream is behind"
        );
        assert_eq!(log(reader).await.len() as u64, round + 1, "the other handle's read_log is behind");
        assert_eq!(count(reader, "events").await, round + 1, "the other handle's query is behind");
        assert_eq!(crate::support::head(reader).await, round + 1, "the other handle's wait_beyond is behind");
    }
}

/// Readers of both handles that follow the log while both write in every way: none misses anything.
pub async fn a_reader_in_one_handle_misses_nothing_of_the_other(under_test: &dyn StoreUnderTest) {
    let handles = [under_test.open().await, under_test.open().await];
    let taken = before_mixed(&*handles[0]).await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> =
        handles.iter().map(|store| tokio::spawn(tail(store.clone(), done.clone()))).collect();
    let written =
        at_once((0..8_usize).map(|writer| write_mixed(handles[writer % 2].clone(), writer, 16, taken))).await;
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = vec![taken];
    acknowledged.extend(written.into_iter().flatten());
    for (reader, store) in readers.into_iter().zip(&handles) {
        let seen = joined(reader).await;
        assert_seen_is_acknowledged(&**store, &seen, acknowledged.clone()).await;
    }
}

/// A read model that one process switches is the new one for the other, though it has the statement prepared.
pub async fn tables_that_one_handle_switches_are_seen_by_the_other(under_test: &dyn StoreUnderTest) {
    let (one, other) = (under_test.open().await, under_test.open().await);
    run(&*one, "CREATE TABLE live (id BIGINT PRIMARY KEY, name TEXT)", params![]).await;
    run(&*one, "INSERT INTO live (id, name) VALUES (1, 'start')", params![]).await;
    for round in 0..5 {
        let name = format!("round-{round}");
        for _ in 0..8 {
            let _: Vec<String> = column(&*other, "SELECT name FROM live WHERE id = $1", params![1]).await;
        }
        let mut tx = begin(&*one).await;
        execute(tx.as_mut(), "CREATE TABLE live__rebuild (id BIGINT PRIMARY KEY, name TEXT)", params![])
            .await;
        execute(
            tx.as_mut(),
            "INSERT INTO live__rebuild (id, name) VALUES ($1, $2)",
            params![1, name.clone()],
        )
        .await;
        execute(tx.as_mut(), "DROP TABLE live", params![]).await;
        execute(tx.as_mut(), "ALTER TABLE live__rebuild RENAME TO live", params![]).await;
        committed(tx, vec![]).await;
        for _ in 0..8 {
            let found: Vec<String> = column(&*other, "SELECT name FROM live WHERE id = $1", params![1]).await;
            assert_eq!(
                found,
                std::slice::from_ref(&name),
                "G10 is broken: the other handle answers from the table before the switch"
            );
        }
    }
}
