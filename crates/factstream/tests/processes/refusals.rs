//! A refused command is an input, not a failure.

use crate::checkout::*;
use crate::common::{Do, Order, Shop, stop};
use factstream::process::{Act, Taken};

#[tokio::test]
async fn a_refused_command_is_the_next_input_and_nothing_of_it_takes_effect() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(TOO_MANY)).await.unwrap();
    settled(&app).await;
    let instance = app.process::<Checkout>().get("o-1").await.unwrap().unwrap();
    let wanted = ["OrderCreated o-1", "Reserve of sku refused: sold out", "OrderNoted sold out"];
    assert_eq!(instance.state.seen, wanted);
    assert_eq!(reserved(&app).await, 0);
    assert_eq!(app.load::<Order>("o-1").await.unwrap().0.notes, ["sold out"]);
    let history = app.process::<Checkout>().history("o-1", 0, 10).await.unwrap();
    assert!(
        matches!(&history[1].input, Taken::Refused(refused) if refused.reason == "sold out"),
        "{history:?}"
    );
    assert!(
        matches!(&history[1].acts[..], [Act::Command { aggregate, .. }] if aggregate == "order"),
        "{history:?}"
    );
    assert!(app.dead_letters().list(None, false, 0).await.unwrap().is_empty());
    stop(running).await;
}

#[tokio::test]
async fn a_process_that_answers_each_refusal_with_the_same_command_is_stopped() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    app.execute("o-1", Do::Note("stubborn".into())).await.unwrap();
    settled(&app).await;
    let dead = app.dead_letters().list(None, false, 0).await.unwrap();
    let reason = dead.iter().find_map(|letter| letter.reason.clone()).unwrap();
    assert!(reason.contains("was refused 100 commands because of one input"), "{reason}");
    stop(running).await;
}

#[tokio::test]
async fn commands_that_conflict_with_other_writers_are_tried_again() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let others = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    let orders = async {
        for n in 0..10 {
            app.execute(format!("o-{n}"), Do::Create(1)).await.unwrap();
        }
    };
    let writers = async {
        for n in 0..20 {
            let reserve = AskStock::Reserve { order_id: format!("other-{n}"), pieces: 1 };
            others.execute::<Stock, _>("sku", reserve).await.unwrap();
        }
    };
    tokio::join!(orders, writers);
    settled(&app).await;
    assert_eq!(reserved(&app).await, 30);
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    stop(running).await;
}
