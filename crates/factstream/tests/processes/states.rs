//! The state: made again from the history without acts, and read by later builds.

use crate::checkout::*;
use crate::common::{Do, OrderEvent, Shop, quick, stop};
use factstream::{Acts, Correlate, Envelope, Error, Failure, Input, Process, Start, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[tokio::test]
async fn a_state_made_again_is_the_live_one_and_nothing_is_asked_for_again() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(TOO_MANY)).await.unwrap();
    app.execute("o-2", Do::Create(1)).await.unwrap();
    settled(&app).await;
    let (head, checkouts) = (app.head().await.unwrap(), app.process::<Checkout>());
    for id in ["o-1", "o-2"] {
        let live = checkouts.get(id).await.unwrap().unwrap();
        assert_eq!(checkouts.state_at(id, live.version).await.unwrap().unwrap(), live.state);
        assert_eq!(checkouts.state_at(id, 1).await.unwrap().unwrap().seen, [format!("OrderCreated {id}")]);
        // An error in `react` has damaged the state; the mended build makes it again.
        let mut tx = app.begin().await.unwrap();
        let damage = "UPDATE fs_processes SET state = '{\"seen\":[]}' WHERE process_id = $1";
        tx.sql(damage, params![id]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(checkouts.rebuild(id).await.unwrap(), live.state);
        assert_eq!(checkouts.get(id).await.unwrap().unwrap().state, live.state);
    }
    assert_eq!(app.head().await.unwrap(), head, "no command was sent again");
    app.execute("o-2", Do::Note("on".into())).await.unwrap();
    settled(&app).await;
    let on = checkouts.get("o-2").await.unwrap().unwrap();
    assert_eq!(on.state.seen, [well("o-2"), vec!["OrderNoted on".into()]].concat());
    assert_eq!(checkouts.state_at("o-2", u64::MAX).await.unwrap().unwrap(), on.state);
    assert!(checkouts.state_at("nobody", 9).await.unwrap().is_none());
    let missing = checkouts.rebuild("nobody").await.unwrap_err();
    assert!(matches!(missing, Error::Process { .. }), "{missing}");
    stop(running).await;
}

/// A process whose state is a number in version 1 and an object later.
#[derive(Default, Serialize, Deserialize, Debug, PartialEq)]
struct Counting<const VERSION: u32> {
    #[serde(flatten)]
    counted: std::collections::BTreeMap<String, u64>,
}

impl<const VERSION: u32> Process for Counting<VERSION> {
    const NAME: &'static str = "counting";
    const VERSION: u32 = VERSION;
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        Correlate::start(&event.aggregate_id)
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, _: &mut Acts) -> Result<(), Failure> {
        if let Input::Event(_) = input {
            *self.counted.entry(format!("v{VERSION}")).or_default() += 1;
        }
        Ok(())
    }

    fn upcast(from: u32, mut state: Value) -> Result<Value, Failure> {
        state[format!("lifted from {from}")] = 1.into();
        Ok(state)
    }
}

async fn count<const VERSION: u32>(shop: &Shop) -> factstream::App {
    let builder = shop.builder().process::<Counting<VERSION>>().retry(quick(2)).from(Start::Beginning);
    let app = builder.open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Note(format!("by {VERSION}"))).await.unwrap();
    settled(&app).await;
    stop(running).await;
    app
}

#[tokio::test]
async fn a_stored_state_is_lifted_step_by_step_and_one_of_a_newer_build_is_refused() {
    let shop = Shop::new();
    drop(count::<1>(&shop).await);
    let app = count::<3>(&shop).await;
    let instance = app.process::<Counting<3>>().get("o-1").await.unwrap().unwrap();
    let counted = instance.state.counted.iter().map(|(name, n)| format!("{name}: {n}")).collect::<Vec<_>>();
    assert_eq!(counted, ["lifted from 1: 1", "lifted from 2: 1", "v1: 1", "v3: 1"]);
    drop(app);

    let app = count::<1>(&shop).await; // rolled back
    let error = app.process::<Counting<1>>().get("o-1").await.unwrap_err();
    assert!(error.to_string().contains("a newer build has written the state"), "{error}");
    let dead = app.dead_letters().list(None, false, 0).await.unwrap();
    let reason = dead[0].reason.clone().unwrap();
    assert!(reason.contains("version 3, and this build of counting has version 1"), "{reason}");
    app.dead_letters().redrive(dead[0].id).await.unwrap();
    drop(app);

    let app = count::<3>(&shop).await; // nothing is lost
    let instance = app.process::<Counting<3>>().get("o-1").await.unwrap().unwrap();
    assert_eq!(instance.state.counted["v3"], 3, "{instance:?}");
    assert!(!instance.blocked);
}
