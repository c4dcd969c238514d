//! Many commands in one call: an outcome each, in order for each aggregate.

use crate::common::{Do, Order, Refused, Shop};
use factstream::{Error, ExecuteError};

#[tokio::test]
async fn each_command_has_an_outcome_and_those_of_one_aggregate_are_decided_in_their_order() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-old", Do::Create(1)).await.unwrap();
    let mut commands = vec![("o-old".to_owned(), Do::Create(2)), ("o-old".to_owned(), Do::Nothing)];
    for n in 0..300 {
        commands.push((format!("o-{n}"), Do::Create(n)));
        commands.push((format!("o-{n}"), Do::Note(format!("note {n}"))));
    }
    commands.push(("o-7".to_owned(), Do::Close));
    commands.push(("o-7".to_owned(), Do::Note("too late".into())));
    let outcomes = app.execute_all::<Order, _>(commands).await.unwrap();
    assert_eq!(outcomes.len(), 604);
    assert!(matches!(outcomes[0], Err(ExecuteError::Rejected(Refused("Order already created")))));
    assert!(matches!(&outcomes[1], Ok(nothing) if nothing.version == 1 && nothing.events.is_empty()));
    let log = app.read_log(0, 10_000).await.unwrap();
    for n in 0..300 {
        for (at, version) in [(2 + 2 * n, 1), (3 + 2 * n, 2)] {
            let executed = outcomes[at].as_ref().unwrap();
            assert_eq!((executed.aggregate_id.as_str(), executed.version), (&*format!("o-{n}"), version));
            let event = &log[usize::try_from(executed.position).unwrap() - 1];
            assert_eq!((&event.aggregate_id, event.version), (&executed.aggregate_id, version));
        }
    }
    assert_eq!(outcomes[602].as_ref().unwrap().version, 3);
    assert!(matches!(outcomes[603], Err(ExecuteError::Rejected(Refused("Order is closed")))));
    assert_eq!(log.len(), 602);
}

#[tokio::test]
async fn two_calls_at_the_same_time_on_the_same_aggregates_lose_nothing() {
    let shop = Shop::new();
    let app = shop.open().await;
    let notes = |who: &str| {
        let who = who.to_owned();
        (0..200).map(move |n| (format!("o-{}", n % 20), Do::Note(format!("{who} {n}"))))
    };
    let (one, two) =
        tokio::join!(app.execute_all::<Order, _>(notes("one")), app.execute_all::<Order, _>(notes("two")));
    assert!(one.unwrap().iter().chain(&two.unwrap()).all(Result::is_ok));
    for n in 0..20 {
        let (order, version) = app.load::<Order>(&format!("o-{n}")).await.unwrap();
        assert_eq!((order.notes.len(), version), (20, 20));
        for who in ["one", "two"] {
            let of_one = order.notes.iter().filter_map(|note| note.strip_prefix(who)?.trim().parse().ok());
            assert!(of_one.collect::<Vec<u32>>().is_sorted(), "{:?}", order.notes);
        }
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_before_anything_is_executed() {
    let shop = Shop::new();
    let app = shop.open().await;
    let refused = app.execute_all::<Order, _>([("o-1", Do::Create(1)), ("", Do::Create(2))]).await;
    assert!(matches!(refused, Err(Error::InvalidId(_))), "{refused:?}");
    assert_eq!(app.head().await.unwrap(), 0);
    assert!(app.execute_all::<Order, Do>(Vec::<(String, Do)>::new()).await.unwrap().is_empty());
}
