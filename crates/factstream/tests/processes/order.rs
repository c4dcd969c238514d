//! One instance takes its inputs in the order of the log, whatever aggregates they come from.

use crate::checkout::*;
use crate::common::{Do, OrderEvent, Shop, stop};
use factstream::{Acts, Correlate, Envelope, Failure, Input, Process, Start};
use serde::{Deserialize, Serialize};

/// Takes all notes of all orders as inputs of one instance for each first letter.
#[derive(Default, Serialize, Deserialize)]
struct Gathering {
    texts: Vec<String>,
}

impl Process for Gathering {
    const NAME: &'static str = "gathering";
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        match &event.event {
            OrderEvent::Noted { text } => Correlate::start(&text[..1]),
            _ => Correlate::none(),
        }
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, _: &mut Acts) -> Result<(), Failure> {
        if let Input::Event(event) = input
            && let OrderEvent::Noted { text } = &event.event
        {
            self.texts.push(text.clone());
        }
        Ok(())
    }
}

#[tokio::test]
async fn inputs_from_many_aggregates_come_in_the_order_of_the_process_also_in_lanes() {
    let shop = Shop::new();
    let app = shop.builder().process::<Gathering>().concurrency(8).batch(32).from(Start::Beginning);
    let app = app.open().await.unwrap();
    for n in 0..60 {
        let letter = ["a", "b", "c"][n % 3];
        app.execute(format!("o-{}", n % 17), Do::Note(format!("{letter}-{n:03}"))).await.unwrap();
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    for (first, letter) in ["a", "b", "c"].into_iter().enumerate() {
        let texts = app.process::<Gathering>().get(letter).await.unwrap().unwrap().state.texts;
        let wanted: Vec<String> = (first..60).step_by(3).map(|n| format!("{letter}-{n:03}")).collect();
        assert_eq!(texts, wanted);
    }
    stop(running).await;
}

#[tokio::test]
async fn a_failing_input_blocks_its_instance_and_no_other_though_one_event_concerns_both() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    for id in ["a", "b"] {
        app.execute(id, Do::Create(1)).await.unwrap();
    }
    app.execute("a", Do::Note("fail".into())).await.unwrap();
    app.execute("x", Do::Note("both a b".into())).await.unwrap();
    app.execute("b", Do::Note("on".into())).await.unwrap();
    let running = app.start().await.unwrap();
    settled(&app).await;
    let checkouts = app.process::<Checkout>();
    let (a, b) = (checkouts.get("a").await.unwrap().unwrap(), checkouts.get("b").await.unwrap().unwrap());
    assert!(a.blocked && !b.blocked, "{a:?} {b:?}");
    assert_eq!(a.state.seen, ["OrderCreated a"], "what comes after the failed input waits behind it");
    assert!(b.state.seen.contains(&"OrderNoted both a b".into()), "{b:?}");
    let dead = app.dead_letters().list(None, false, 0).await.unwrap();
    let dead = dead.iter().find(|letter| letter.state == "dead").unwrap();
    assert_eq!((dead.handler.as_str(), dead.key.as_str()), ("checkout", "a"));
    app.dead_letters().discard(dead.id, "told to").await.unwrap();
    settled(&app).await;
    let a = checkouts.get("a").await.unwrap().unwrap();
    let both = a.state.seen.iter().filter(|seen| *seen == "OrderNoted both a b").count();
    assert!(!a.blocked && both == 1, "{a:?}");
    assert!(a.state.seen.contains(&"StockReserved sku".into()), "{a:?}");
    stop(running).await;
}
