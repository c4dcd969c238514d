//! What comes after the end of an instance changes nothing.

use crate::checkout::*;
use crate::common::{Do, Shop, stop};

#[tokio::test]
async fn late_inputs_and_late_starts_change_nothing() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    app.execute("o-1", Do::Close).await.unwrap();
    settled(&app).await;
    let ended = app.process::<Checkout>().get("o-1").await.unwrap().unwrap();
    assert!(ended.has_ended() && ended.ended_at.is_some() && ended.version == 4, "{ended:?}");
    let late = AskStock::Release { order_id: "o-1".into() };
    app.execute::<Stock, _>("sku", late).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    let again = crate::common::OrderEvent::Created { customer_id: "c".into(), amount: 1 };
    tx.append::<crate::common::Order>("o-1", &[again]).await.unwrap();
    tx.commit().await.unwrap();
    settled(&app).await;
    assert_eq!(app.process::<Checkout>().get("o-1").await.unwrap().unwrap(), ended);
    assert_eq!(reserved(&app).await, 0, "a late start asks for nothing");
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    stop(running).await;
}

#[tokio::test]
async fn the_refusal_of_a_last_command_still_comes_and_then_nothing() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    app.execute("o-1", Do::Note("give up".into())).await.unwrap();
    settled(&app).await;
    let instance = app.process::<Checkout>().get("o-1").await.unwrap().unwrap();
    let wanted =
        [well("o-1"), vec!["OrderNoted give up".into(), "Reserve of sku refused: sold out".into()]].concat();
    assert_eq!((instance.state.seen.as_slice(), instance.has_ended()), (&wanted[..], true));
    stop(running).await;
}
