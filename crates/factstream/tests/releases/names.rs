//! Names of handlers meet neither each other nor the framework's own.

use crate::builds::{Effects, V1, caught_up, effects, make_effects, number};
use crate::common::{Do, Shop, settled, stop};
use factstream::{Consumer, Error, Projection};

#[tokio::test]
async fn a_projection_called_relay_does_not_hold_up_the_relay() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let projection = Projection::new("relay", Effects("relay")).batch(3);
    let consumer = Consumer::new("c").handler(Effects("c"));
    let app = shop.builder().projection(projection).consumer(consumer).open().await.unwrap();
    let running = app.start().await.unwrap();
    for n in 0..40 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    settled(&app).await;
    assert_eq!(effects(&app, "relay").await, (40, 40));
    assert_eq!(effects(&app, "c").await, (40, 40));
    stop(running).await;
}

#[tokio::test]
async fn the_rebuild_of_one_handler_leaves_one_with_a_longer_name_alone() {
    let shop = Shop::new();
    make_effects(&shop).await;
    let names = ["order_rows#eu", "order_rows (rebuild)", "order_rows#1"];
    let builder = names.into_iter().fold(shop.builder().read_model::<V1>(), |builder, name| {
        builder.projection(Projection::new(name, Effects(name)))
    });
    let app = builder.open().await.unwrap();
    let running = app.start().await.unwrap();
    for n in 0..10 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    settled(&app).await;
    app.rebuild("order_rows", |_| {}).await.unwrap();
    app.execute("o-x", Do::Create(1)).await.unwrap();
    for name in names {
        caught_up(&app, name).await;
        assert_eq!(effects(&app, name).await, (11, 11), "{name}");
    }
    caught_up(&app, "order_rows").await;
    assert_eq!(number(&app, "SELECT count(*) FROM order_rows").await, 11);
    stop(running).await;
}

#[tokio::test]
async fn a_name_that_could_be_taken_for_another_is_refused() {
    let shop = Shop::new();
    for name in ["order_rows#1/2", "fs:relay", "fs:rebuild:1", ""] {
        let refused =
            shop.builder().projection(Projection::new(name, Effects("x"))).open().await.err().unwrap();
        assert!(matches!(refused, Error::Wiring(_) | Error::InvalidId(_)), "{name}: {refused}");
    }
}
