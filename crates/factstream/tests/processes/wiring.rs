//! What cannot work is refused when the application is opened; and a process does not go back.

use crate::checkout::*;
use crate::common::{Do, OrderRow, Shop, stop};
use factstream::{Consumer, Envelope, Failure, Handler, Process, ResetTo, Start, Tx};

struct Deaf;

impl Handler for Deaf {
    type Events = crate::common::OrderEvent;
    async fn handle(&self, _: &Envelope<crate::common::OrderEvent>, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn a_name_belongs_to_one_process_or_other_handler() {
    let shop = Shop::new();
    let twice = checkout(&shop).process::<Checkout>().from(Start::Now).open().await.unwrap_err();
    assert!(twice.to_string().contains("two handlers are called \"checkout\""), "{twice}");
    let consumer = Consumer::new(Checkout::NAME).handler(Deaf);
    let shared = checkout(&shop).consumer(consumer).open().await.unwrap_err();
    assert!(shared.to_string().contains("two handlers are called \"checkout\""), "{shared}");

    drop(checkout(&shop).open().await.unwrap());
    let consumer = Consumer::new(Checkout::NAME).handler(Deaf);
    let other = shop.builder().consumer(consumer).open().await.unwrap_err();
    assert!(other.to_string().contains("checkout was a process before and is a consumer now"), "{other}");
    let foreign = checkout(&shop).service("other").open().await.unwrap_err();
    assert!(foreign.to_string().contains("belongs to the service shop"), "{foreign}");
}

#[tokio::test]
async fn a_process_does_not_go_back_and_a_projection_beside_it_is_rebuilt_as_ever() {
    let shop = Shop::new();
    let app = checkout(&shop).read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    stop(running).await;
    let plan = app.plan_reset(Checkout::NAME, ResetTo::Beginning).await.unwrap();
    let refused = app.reset(&plan, true).await.unwrap_err();
    assert!(refused.to_string().contains("does not go back"), "{refused}");
    let unknown = app.rebuild(Checkout::NAME, |_| {}).await.unwrap_err();
    assert!(unknown.to_string().contains("there is no projection \"checkout\""), "{unknown}");
    let head = app.head().await.unwrap();
    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert_eq!(app.head().await.unwrap(), head);
}
