//! A handler is set to another place, as planned.

use crate::builds::{Effects, V1, effects, make_effects, with};
use crate::common::{Do, Shop, eventually, settled, stop};
use factstream::{App, Consumer, Error, Projection, ResetTo};

async fn with_effects(shop: &Shop) -> App {
    make_effects(shop).await;
    let consumer = Consumer::new("c").handler(Effects("c"));
    shop.builder().consumer(consumer).projection(Projection::new("p", Effects("p"))).open().await.unwrap()
}

#[tokio::test]
async fn a_handler_that_goes_back_takes_effect_again_only_when_that_is_asked_for() {
    let shop = Shop::new();
    let app = with_effects(&shop).await;
    let running = app.start().await.unwrap();
    for n in 0..5 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    settled(&app).await;
    for again in [false, true] {
        for handler in ["c", "p"] {
            let plan = app.plan_reset(handler, ResetTo::Beginning).await.unwrap();
            assert!(plan.steps.iter().all(|step| step.to == 0), "{plan:?}");
            assert!(plan.steps.iter().any(|step| step.from.is_some_and(|from| from > 0)), "{plan:?}");
            let done = app.reset(&plan, again).await;
            if handler == "p" && !again {
                assert!(matches!(done, Err(Error::Wiring(text)) if text.contains("again")));
                continue;
            }
            done.unwrap();
            assert!(matches!(app.reset(&plan, again).await, Err(Error::Superseded { .. })), "done once");
        }
        let handled = if again { 10 } else { 5 };
        eventually("both are done", || async {
            effects(&app, "c").await == (handled, 5) && effects(&app, "p").await == (handled, 5)
        })
        .await;
        settled(&app).await;
    }
    stop(running).await;
}

#[tokio::test]
async fn a_handler_that_goes_to_the_end_leaves_out_what_is_there() {
    let shop = Shop::new();
    let app = with_effects(&shop).await;
    let relay_only = shop.open().await;
    let running = relay_only.start().await.unwrap();
    for n in 0..5 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    settled(&relay_only).await;
    stop(running).await;
    for handler in ["c", "p"] {
        let plan = app.plan_reset(handler, ResetTo::End).await.unwrap();
        app.reset(&plan, false).await.unwrap();
    }
    let running = app.start().await.unwrap();
    app.execute("o-x", Do::Create(1)).await.unwrap();
    settled(&app).await;
    for handler in ["c", "p"] {
        eventually("the new one is handled", || async { effects(&app, handler).await == (1, 1) }).await;
    }
    stop(running).await;
}

#[tokio::test]
async fn what_cannot_be_reset_says_what_to_do() {
    let shop = Shop::new();
    let app = with::<V1>(&shop).consumer(Consumer::new("c").handler(Effects("c"))).open().await.unwrap();
    for (handler, to, says) in [
        ("order_rows", ResetTo::Beginning, "rebuild it instead"),
        ("c", ResetTo::Position(1), "TOPIC/PARTITION=OFFSET"),
        ("nobody", ResetTo::End, "there are: c, order_rows"),
    ] {
        let refused = app.plan_reset(handler, to).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}
