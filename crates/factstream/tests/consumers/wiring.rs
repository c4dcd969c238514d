//! What does not fit together is refused at start.

use crate::common::Shop;
use crate::ledger::Ledger;
use factstream::{
    Aggregate, App, Command, Consumer, Envelope, Event, EventSet, Failure, Handler, Topic, Tx, Upcasters,
};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
enum Secret {
    #[event(name = "SecretKept", private)]
    Kept,
}

struct Nosy;

impl Handler for Nosy {
    type Events = Secret;

    async fn handle(&self, _: &Envelope<Secret>, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn wrong_wiring_is_refused_at_start_with_advice() {
    let shop = Shop::new();
    let open = |consumer| shop.builder().consumer(consumer).open();
    let error = open(Consumer::new("nosy").handler(Nosy)).await.err().unwrap().to_string();
    assert!(error.contains("SecretKept") && error.contains("private"), "{error}");
    let twice = Consumer::new("twice").handler(Ledger::default()).handler(Ledger::default());
    let error = open(twice).await.err().unwrap().to_string();
    assert!(error.contains("two handlers for OrderCreated"), "{error}");
    let error = open(Consumer::new("empty")).await.err().unwrap().to_string();
    assert!(error.contains("empty has no handler"), "{error}");
}

/// Two enums that name one event, and the aggregates that record them.
macro_rules! records_made {
    ($aggregate:ident, $event:ident, $type:literal, $name:literal) => {
        #[derive(Event, Serialize, Deserialize)]
        enum $event {
            #[event(name = $name)]
            Made {},
        }

        #[derive(Default, Clone)]
        struct $aggregate;

        impl Aggregate for $aggregate {
            const TYPE: &'static str = $type;
            type Event = $event;
            fn apply(&mut self, _: &$event) {}
        }

        impl Command<$aggregate> for Make {
            type Error = std::convert::Infallible;
            fn decide(&self, _: &$aggregate) -> Result<Vec<$event>, Self::Error> {
                Ok(vec![$event::Made {}])
            }
        }
    };
}

struct Make;
records_made!(Chair, ChairEvent, "chair", "Made");
records_made!(Table, TableEvent, "table", "Made");
records_made!(Stool, StoolEvent, "chair", "Made");
records_made!(Bench, BenchEvent, "fs:bench", "BenchMade");
records_made!(Shelf, ShelfEvent, "shelf", "fs:made");

#[tokio::test]
async fn one_name_for_the_events_of_two_aggregates_is_refused_with_both_and_the_cure() {
    let shop = Shop::new();
    let refused =
        shop.builder().aggregate::<Chair>().aggregate::<Table>().open().await.err().unwrap().to_string();
    for part in ["Made", "wiring::ChairEvent", "wiring::TableEvent", "#[event(name = \"TableMade\")]"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // One that was not declared is refused at its first use, whichever way it comes.
    let app = shop.builder().aggregate::<Chair>().open().await.unwrap();
    app.execute::<Chair, _>("c-1", Make).await.unwrap();
    let refused = app.execute::<Table, _>("t-1", Make).await.unwrap_err().to_string();
    assert!(refused.contains("TableEvent"), "{refused}");
    let mut tx = app.begin().await.unwrap();
    assert!(tx.command::<Table, _>("t-1", Make).await.is_err());
    drop(tx);
    assert!(app.load::<Table>("t-1").await.is_err());
    assert_eq!(app.head().await.unwrap(), 1, "nothing was recorded");
}

#[tokio::test]
async fn one_type_of_two_aggregates_is_refused() {
    let shop = Shop::new();
    let refused =
        shop.builder().aggregate::<Chair>().aggregate::<Stool>().open().await.err().unwrap().to_string();
    for part in ["wiring::Chair", "wiring::Stool", "TYPE", "\"chair\""] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let app = shop.builder().aggregate::<Chair>().open().await.unwrap();
    assert!(app.execute::<Stool, _>("c-1", Make).await.is_err());
}

#[tokio::test]
async fn names_of_the_frameworks_own_are_refused() {
    let shop = Shop::new();
    let of_type = shop.builder().aggregate::<Bench>().open().await.err().unwrap().to_string();
    assert!(of_type.contains("wiring::Bench") && of_type.contains("\"fs:bench\""), "{of_type}");
    let of_event = shop.builder().aggregate::<Shelf>().open().await.err().unwrap().to_string();
    assert!(of_event.contains("wiring::Shelf") && of_event.contains("\"fs:made\""), "{of_event}");
    // Not declared, at its first use.
    let app = shop.builder().open().await.unwrap();
    for refused in [
        app.execute::<Bench, _>("b-1", Make).await.unwrap_err().to_string(),
        app.execute::<Shelf, _>("s-1", Make).await.unwrap_err().to_string(),
    ] {
        assert!(refused.contains("\"fs:\""), "{refused}");
    }
    assert_eq!(app.head().await.unwrap(), 0, "nothing was recorded");
}

/// What a consumer reads of the same events is no second recorder of them.
#[derive(Event, Serialize, Deserialize)]
enum ChairFact {
    #[event(name = "Made")]
    Made {},
}

#[derive(EventSet)]
enum ChairsTwice {
    Facts(ChairFact),
    Events(ChairEvent),
}

struct Reads<E>(std::marker::PhantomData<fn() -> E>);

impl<E: EventSet> Handler for Reads<E> {
    type Events = E;

    async fn handle(&self, _: &Envelope<E>, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn facts_that_are_only_read_may_have_the_name_again_but_not_twice_in_one_set() {
    let shop = Shop::new();
    let open = |consumer| shop.builder().aggregate::<Chair>().consumer(consumer).open();
    open(Consumer::new("c").handler(Reads::<ChairFact>(std::marker::PhantomData))).await.unwrap();
    let twice = Consumer::new("d").handler(Reads::<ChairsTwice>(std::marker::PhantomData));
    let refused = open(twice).await.err().unwrap().to_string();
    assert!(refused.contains("ChairFact") && refused.contains("ChairEvent"), "{refused}");
}

#[tokio::test]
async fn what_is_given_twice_is_refused_and_not_replaced() {
    let shop = Shop::new();
    let step = || Upcasters::new().step("Made", 1, 2, Ok);
    let both = shop.builder().aggregate::<Chair>().upcasters(step()).upcasters(Upcasters::new());
    assert!(both.open().await.is_err(), "the first upcasters still count: Made has no version 2");
    let two = shop.builder().topic(Topic::new("t", 2)).topic(Topic::new("t", 3)).open().await;
    assert!(two.err().unwrap().to_string().contains("the topic t is given twice"));
    shop.builder().topic(Topic::new("t", 2)).topic(Topic::new("t", 2)).open().await.unwrap();
}

mod release_0_1 {
    use super::*;

    #[derive(Event, Serialize, Deserialize)]
    #[event(prefix = "")]
    pub(super) enum LampEvent {
        Lit {},
    }
}

#[derive(Event, Serialize, Deserialize)]
enum LampEvent {
    Lit {},
}

#[derive(Event, Serialize, Deserialize)]
enum PinnedEvent {
    #[event(name = "Lit")]
    Lit {},
}

#[tokio::test]
async fn a_stored_name_never_changes_by_itself() {
    fn consumer<E: EventSet>() -> Consumer {
        Consumer::new("lamps").handler(Reads::<E>(std::marker::PhantomData))
    }
    async fn open<E: EventSet>(shop: &Shop) -> Result<App, factstream::Error> {
        shop.builder().consumer(consumer::<E>()).open().await
    }
    let shop = Shop::new();
    open::<release_0_1::LampEvent>(&shop).await.unwrap();
    let refused = open::<LampEvent>(&shop).await.err().unwrap().to_string();
    for part in ["Lit", "LampLit", "#[event(name = \"Lit\")]", "prefix = \"\""] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    open::<PinnedEvent>(&shop).await.unwrap();
    open::<LampEvent>(&Shop::new()).await.unwrap();
}
