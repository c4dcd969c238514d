//! G4: a command with an idempotency key takes effect once; a repeat returns the first outcome.

use crate::StoreUnderTest;
use crate::support::{
    appending, assert_sound, at_once, event, events, key, land, land_these, log, soon, stream, submit,
};
use factstream_core::envelope::{NewEvent, StreamId};
use factstream_core::store::{Appended, Expected, Outcome, Store};

/// Appends so many events with a key.
async fn keyed(
    store: &dyn Store,
    name: &str,
    stream: &StreamId,
    expected: Expected,
    count: usize,
) -> Outcome {
    submit(store, appending(stream, expected, events(count)), Some(key(name, "command"))).await
}

fn first(outcome: Outcome) -> Appended {
    match outcome {
        Outcome::Appended(appended) => appended,
        other => panic!("G4 is broken: the first use of a key became {other:?}"),
    }
}

async fn assert_repeated(
    store: &dyn Store,
    name: &str,
    stream: &StreamId,
    expected: Expected,
    wanted: &Appended,
) {
    let before = log(store).await.len();
    let outcome = keyed(store, name, stream, expected, 2).await;
    let wanted = Outcome::Repeated(wanted.clone());
    assert_eq!(outcome, wanted, "G4 is broken: a repeat of key {name} for {stream} at {expected:?}");
    assert_eq!(log(store).await.len(), before, "G4 is broken: a repeat of key {name} stored events");
}

/// One after the other: the first takes effect, the others are told its outcome, also when the stream has moved on.
pub async fn a_repeat_returns_the_first_outcome(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    land(&*store, &stream("other"), 3).await;
    let own = stream("own");
    let done = first(keyed(&*store, "k-1", &own, Expected::Exact(0), 2).await);
    let wanted = Appended { stream: own.clone(), version: 2, position: 5 };
    assert_eq!(done, wanted, "the first use of a key is told a wrong place");
    assert_repeated(&*store, "k-1", &own, Expected::Exact(0), &done).await;
    land(&*store, &own, 4).await;
    assert_repeated(&*store, "k-1", &own, Expected::Exact(0), &done).await;
    let other = first(keyed(&*store, "k-2", &own, Expected::Any, 1).await);
    assert_eq!(other.version, 7, "G4 is broken: another key does not take effect of its own");
}

/// A repeat reloads and may so expect another version; where ids are made up with each call, it comes with another id, too.
pub async fn a_repeat_with_another_version_or_made_up_id_is_a_repeat(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let own = stream("own");
    let done = first(keyed(&*store, "k-1", &own, Expected::Exact(0), 2).await);
    for expected in [Expected::Exact(2), Expected::Exact(1), Expected::Exact(1_000), Expected::Any] {
        assert_repeated(&*store, "k-1", &own, expected, &done).await;
    }
    for expected in [Expected::Exact(0), Expected::Exact(9), Expected::Any] {
        let append = appending(&stream("made-up"), expected, events(2));
        let outcome = submit(&*store, append, Some(key("k-1", "command").for_new_id())).await;
        assert_eq!(
            outcome,
            Outcome::Repeated(done.clone()),
            "G4 is broken: a repeat with another made-up id"
        );
    }
    assert_eq!(log(&*store).await.len(), 2, "G4 is broken: a repeat stored events");
}

/// The same key and command for another aggregate is refused, and the refusal names the first one; made-up ids do not reach
/// beyond their type. So it is for appends that wait together.
pub async fn a_key_for_another_aggregate_is_refused(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let own = stream("own");
    let done = first(keyed(&*store, "k-1", &own, Expected::Exact(0), 2).await);
    let refused = Outcome::KeyReused { key: "k-1".into(), first_used_for: format!("command of {own}") };
    for expected in [Expected::Exact(0), Expected::Exact(2), Expected::Any] {
        for count in [0, 1] {
            let outcome = keyed(&*store, "k-1", &stream("another"), expected, count).await;
            assert_eq!(outcome, refused, "G4 is broken: k-1 for another aggregate, at {expected:?}");
        }
    }
    let sku = StreamId::new("stock", own.id()).expect("a valid id");
    for made_up in [key("k-1", "command"), key("k-1", "command").for_new_id()] {
        let outcome = submit(&*store, appending(&sku, Expected::Exact(0), events(1)), Some(made_up)).await;
        assert_eq!(outcome, refused, "G4 is broken: k-1 for an aggregate of another type");
    }
    assert_repeated(&*store, "k-1", &own, Expected::Any, &done).await;

    let outcomes = at_once((0..32).map(|caller| {
        let store = store.clone();
        let stream = stream(format!("racing-{}", caller % 4));
        async move { keyed(&*store, "k-2", &stream, Expected::Any, 1).await }
    }))
    .await;
    let winner = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Appended(appended) => Some(appended.clone()),
        _ => None,
    });
    let winner = winner.expect("G4 is broken: no use of a key took effect");
    let fine = |outcome: &Outcome| match outcome {
        Outcome::Appended(appended) | Outcome::Repeated(appended) => *appended == winner,
        Outcome::KeyReused { first_used_for, .. } => {
            *first_used_for == format!("command of {}", winner.stream)
        }
        Outcome::Conflict(_) => false,
    };
    assert!(outcomes.iter().all(fine), "G4 is broken: aggregates that race for a key: {outcomes:?}");
    assert_eq!(log(&*store).await.len(), 3, "G4 is broken: a refused use of a key stored events");
}

/// Many with the same key at once, again and again: one takes effect, all others are told its outcome.
pub async fn one_of_many_with_the_same_key_takes_effect(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    for round in 0..5_u64 {
        let name = format!("k-{round}");
        let outcomes = at_once((0..64).map(|caller| {
            let (store, name) = (store.clone(), name.clone());
            // Half of them make up an id of their own.
            let stream =
                stream(if caller % 2 == 0 { "shared".to_owned() } else { format!("own-{round}-{caller}") });
            async move {
                let key = key(&name, "command").for_new_id();
                submit(&*store, appending(&stream, Expected::Any, events(2)), Some(key)).await
            }
        }))
        .await;
        let mut effective = Vec::new();
        let mut repeated = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Appended(appended) => effective.push(appended),
                Outcome::Repeated(appended) => repeated.push(appended),
                other => panic!("G4 is broken: one of many with the same key became {other:?}"),
            }
        }
        assert_eq!(effective.len(), 1, "G4 is broken: with the same key these took effect: {effective:?}");
        let other = repeated.iter().find(|repeat| **repeat != effective[0]);
        assert_eq!(other, None, "G4 is broken: a repeat was told another outcome than {:?}", effective[0]);
    }
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(whole.len(), 10, "G4 is broken: events of repeats are stored");
}

/// Many keys, each used many times, all at once: appends that wait together keep their keys apart.
pub async fn each_of_many_keys_takes_effect_once(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let outcomes = at_once((0..128_usize).map(|caller| {
        let store = store.clone();
        async move {
            let number = caller % 16;
            (
                number,
                keyed(
                    &*store,
                    &format!("k-{number}"),
                    &stream(format!("s-{}", number % 4)),
                    Expected::Any,
                    1,
                )
                .await,
            )
        }
    }))
    .await;
    let mut firsts: Vec<Option<Appended>> = vec![None; 16];
    for (number, outcome) in &outcomes {
        if let Outcome::Appended(appended) = outcome {
            let before = firsts[*number].replace(appended.clone());
            assert_eq!(before, None, "G4 is broken: key k-{number} took effect twice");
        }
    }
    for (number, outcome) in outcomes {
        let Some(done) = &firsts[number] else { panic!("G4 is broken: key k-{number} never took effect") };
        let fine = outcome == Outcome::Appended(done.clone()) || outcome == Outcome::Repeated(done.clone());
        assert!(fine, "G4 is broken: a use of k-{number} became {outcome:?}, its first outcome was {done:?}");
    }
    let whole = log(&*store).await;
    assert_sound(&whole);
    assert_eq!(whole.len(), 16, "G4 is broken: 16 keys stored {} events", whole.len());
}

/// Keys outlive the store's handle.
pub async fn keys_are_there_after_reopening(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let own = stream("own");
    let done = first(keyed(&*store, "k-1", &own, Expected::Exact(0), 2).await);
    let nothing = first(keyed(&*store, "k-2", &own, Expected::Any, 0).await);
    drop(store);
    let store = under_test.open().await;
    assert_repeated(&*store, "k-1", &own, Expected::Exact(0), &done).await;
    assert_repeated(&*store, "k-2", &own, Expected::Any, &nothing).await;
}

/// A command that decides on no events has taken effect too: its repeat must not find events.
pub async fn an_append_without_events_records_its_key(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    land(&*store, &stream("other"), 3).await;
    for (id, version) in [("other", 3), ("fresh", 0)] {
        let stream = stream(id);
        let done = first(keyed(&*store, id, &stream, Expected::Exact(version), 0).await);
        let wanted = Appended { stream: stream.clone(), version, position: 3 };
        assert_eq!(done, wanted, "an append without events is told a wrong place");
        // The repeat decides anew and now has events; they must not be stored.
        assert_repeated(&*store, id, &stream, Expected::Exact(version), &done).await;
    }
    land(&*store, &stream("other"), 1).await;
    let outcome = keyed(&*store, "other", &stream("other"), Expected::Any, 0).await;
    let wanted = Appended { stream: stream("other"), version: 3, position: 3 };
    assert_eq!(outcome, Outcome::Repeated(wanted), "G4 is broken: a repeat is told where the log is now");
}

/// The same key for another command is told apart, and told what it was first used for.
pub async fn a_key_for_another_command_is_refused(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let own = stream("own");
    let done = first(keyed(&*store, "k-1", &own, Expected::Exact(0), 2).await);
    for other in ["other", "", "Command", "command "] {
        for expected in [Expected::Any, Expected::Exact(0), Expected::Exact(2)] {
            let outcome =
                submit(&*store, appending(&own, expected, events(1)), Some(key("k-1", other))).await;
            let wanted = Outcome::KeyReused { key: "k-1".into(), first_used_for: "command".into() };
            assert_eq!(
                outcome, wanted,
                "G4 is broken: k-1 was first used for \"command\", now for {other:?}"
            );
        }
    }
    assert_eq!(
        log(&*store).await.len(),
        2,
        "G4 is broken: a key that was used for another command stored events"
    );
    assert_repeated(&*store, "k-1", &own, Expected::Any, &done).await;
}

/// Two commands race for one key: one of them has it, all uses of the other are refused.
pub async fn two_commands_that_race_for_a_key_are_told_apart(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let outcomes = at_once((0..32).map(|caller| {
        let store = store.clone();
        let command = if caller % 2 == 0 { "even" } else { "odd" };
        async move {
            (
                command,
                submit(&*store, appending(&stream("own"), Expected::Any, events(1)), Some(key("k", command)))
                    .await,
            )
        }
    }))
    .await;
    let effective: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Appended(_))).collect();
    assert_eq!(effective.len(), 1, "G4 is broken: with the same key these took effect: {effective:?}");
    let winner = effective[0].0;
    for (command, outcome) in &outcomes {
        let fine = match outcome {
            Outcome::Appended(_) => true,
            Outcome::Repeated(_) => *command == winner,
            Outcome::KeyReused { key, first_used_for } => {
                *command != winner && key == "k" && first_used_for == winner
            }
            Outcome::Conflict(_) => false,
        };
        assert!(fine, "G4 is broken: the key went to {winner:?}, a use for {command:?} became {outcome:?}");
    }
    assert_eq!(log(&*store).await.len(), 1, "G4 is broken: a key took effect more than once");
}

/// What was not stored has not used its key up: the caller decides anew and tries again with the same key.
pub async fn a_refused_append_does_not_use_its_key_up(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let own = stream("own");
    let taken = event("{}");
    land_these(&*store, &own, vec![taken.clone()]).await;
    let outcome = keyed(&*store, "k-1", &own, Expected::Exact(0), 1).await;
    assert!(
        matches!(outcome, Outcome::Conflict(_)),
        "G2 is broken: an append at an old version became {outcome:?}"
    );
    let done = first(keyed(&*store, "k-1", &own, Expected::Exact(1), 1).await);
    assert_eq!(done.version, 2, "G4 is broken: a conflict used the key up");

    let refused = appending(
        &own,
        Expected::Any,
        vec![event("{}"), NewEvent { event_id: taken.event_id, ..event("{}") }],
    );
    let answer = soon("append", store.append(refused, Some(key("k-2", "command")))).await;
    assert!(answer.is_err(), "G1 is broken: an append with a taken event id became {answer:?}");
    let done = first(keyed(&*store, "k-2", &own, Expected::Exact(2), 1).await);
    assert_repeated(&*store, "k-2", &own, Expected::Any, &done).await;
}

/// A key that is used at once for an append in conflict and for good ones: the conflict does not spoil it.
pub async fn a_conflict_beside_others_with_its_key_does_no_harm(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    for round in 0..5 {
        let name = format!("k-{round}");
        let outcomes = at_once((0..24_u64).map(|caller| {
            let (store, name) = (store.clone(), name.clone());
            let expected = if caller % 2 == 0 { Expected::Exact(1_000_000) } else { Expected::Any };
            async move { keyed(&*store, &name, &stream("own"), expected, 1).await }
        }))
        .await;
        let effective = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Appended(_))).count();
        assert_eq!(
            effective, 1,
            "G4 is broken: {effective} appends with the same key took effect: {outcomes:?}"
        );
        let reused = outcomes.iter().find(|outcome| matches!(outcome, Outcome::KeyReused { .. }));
        assert_eq!(reused, None, "G4 is broken: the same command's key is called reused");
    }
    assert_eq!(log(&*store).await.len(), 5, "G4 is broken: 5 keys stored other than 5 events");
}
