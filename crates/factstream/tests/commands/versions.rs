//! A command from a version that its user has seen: nobody's change is overwritten.

use crate::common::{Do, Order, OrderEvent, Shop};
use factstream::{Error, ExecuteError, ExpectedVersion};

#[tokio::test]
async fn a_command_from_an_old_version_is_refused_with_the_current_one_and_nothing_is_stored() {
    let shop = Shop::new();
    let (one, other) = (shop.open().await, shop.open().await);
    let seen = one.execute("o-1", Do::Create(1)).expect_version(0).await.unwrap().version;
    other.execute("o-1", Do::Note("a".into())).await.unwrap();
    // `one` has version 1 in memory, and would find out at the append.
    for (app, expected) in [(&one, seen), (&other, seen), (&one, 0), (&other, 7)] {
        match app.execute("o-1", Do::Note("b".into())).expect_version(expected).await.unwrap_err() {
            ExecuteError::Failed(Error::VersionMismatch { expected: told, actual, .. }) => {
                assert_eq!((told, actual), (expected.into(), 2));
            }
            error => panic!("{error}"),
        }
    }
    assert_eq!(one.head().await.unwrap(), 2);
    assert_eq!(one.execute("o-1", Do::Note("b".into())).expect_version(2).await.unwrap().version, 3);
}

#[tokio::test]
async fn a_command_may_expect_one_of_several_versions_or_just_that_it_exists() {
    let shop = Shop::new();
    let (one, other) = (shop.open().await, shop.open().await);
    let one_of = |versions: &[u64]| ExpectedVersion::OneOf(versions.to_vec());
    // Also where nothing was read yet, and commands of this type begin streams.
    for (id, expected) in [("o-1", ExpectedVersion::Existing), ("o-2", one_of(&[1, 2])), ("o-3", one_of(&[]))]
    {
        one.execute("o-0", Do::Note("a".into())).await.unwrap();
        let error = one.execute(id, Do::Create(1)).expect(expected).await.unwrap_err();
        let ExecuteError::Failed(Error::VersionMismatch { actual: 0, .. }) = error else { panic!("{error}") };
    }
    one.execute("o-1", Do::Create(1)).expect(one_of(&[7, 0])).await.unwrap();
    other.execute("o-1", Do::Note("a".into())).expect(ExpectedVersion::Existing).await.unwrap();
    // `one` has version 1 in memory.
    one.execute("o-1", Do::Note("b".into())).expect(one_of(&[2, 9])).await.unwrap();
    let error = other.execute("o-1", Do::Close).expect(one_of(&[1, 2])).await.unwrap_err();
    assert!(error.to_string().contains("is at version 3, and version 1 or 2 was expected"), "{error}");
    assert!(other.execute("o-1", Do::Close).expect(one_of(&[])).await.is_err());
    assert_eq!(other.execute("o-1", Do::Close).expect(ExpectedVersion::Existing).await.unwrap().version, 4);
}

#[tokio::test]
async fn a_repeat_from_an_old_version_is_answered_with_its_first_outcome() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).await.unwrap();
    let note = || app.execute("o-1", Do::Note("a".into())).key("k-1").expect_version(1);
    let first = note().await.unwrap();
    let again = note().await.unwrap();
    assert_eq!((again.version, again.repeated, again.events.len()), (first.version, true, 0));
}

#[tokio::test]
async fn a_command_tells_its_events_and_on_request_the_state_after_them() {
    let shop = Shop::new();
    let app = shop.open().await;
    let (executed, order) = app.execute("o-1", Do::Create(5)).with_state().await.unwrap();
    assert_eq!(executed.events, [OrderEvent::Created { customer_id: "c-1".into(), amount: 5 }]);
    assert!(order.created && !format!("{executed:?}").contains("c-1"), "no content of events in logs");
    let (executed, order) = app.execute("o-1", Do::Nothing).with_state().await.unwrap();
    assert_eq!((executed.version, executed.position, order.created), (1, 1, true));
    app.execute("o-1", Do::Note("a".into())).key("k").await.unwrap();
    app.execute("o-1", Do::Note("b".into())).await.unwrap();
    let (executed, order) = app.execute("o-1", Do::Note("a".into())).key("k").with_state().await.unwrap();
    assert_eq!((executed.repeated, executed.version, order.notes.len()), (true, 2, 2));
    let (loaded, _) = app.load::<Order>("o-1").await.unwrap();
    assert_eq!(loaded, order);
}
