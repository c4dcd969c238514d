//! A read model whose rows gather events of several aggregates: what fails is parked by the row, not by the aggregate.

use crate::builds::number;
use crate::common::{Do, OrderEvent, Shop, eventually, quick, settled, stop};
use factstream::{Envelope, Fold, ReadModel, Retry};
use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(true);

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "last_orders")]
struct LastOrder {
    #[column(key)]
    customer: String,
    order_id: String,
}

impl Fold for LastOrder {
    type Events = OrderEvent;

    fn row_key(event: &Envelope<OrderEvent>) -> Option<String> {
        match &event.event {
            OrderEvent::Created { customer_id, .. } => Some(customer_id.clone()),
            _ => None,
        }
    }

    fn fold(_: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let OrderEvent::Created { customer_id, amount } = &event.event else { return None };
        assert!(*amount != 1 || !BROKEN.load(Ordering::SeqCst), "a bug in this release");
        Some(Self { customer: customer_id.clone(), order_id: event.aggregate_id.clone() })
    }

    fn retry() -> Retry {
        quick(2)
    }
}

#[tokio::test]
async fn a_redrive_gives_the_rows_that_a_rebuild_gives() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<LastOrder>().open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    eventually("a dead letter", || async { app.status().await.handlers[0].dead_letters == Some(1) }).await;
    app.execute("o-2", Do::Create(2)).await.unwrap();
    settled(&app).await;
    assert_eq!(app.status().await.handlers[0].parked, Some(1), "it is of the same customer");
    BROKEN.store(false, Ordering::SeqCst);
    assert_eq!(app.dead_letters().redrive_all(None).await.unwrap(), 1);
    eventually("the customer flows again", || async {
        number(&app, "SELECT count(*) FROM fs_blocked_keys").await == 0
    })
    .await;
    let row = app.read::<LastOrder>().get("c-1").await.unwrap().unwrap();
    assert_eq!(row.order_id, "o-2");
    app.rebuild("last_orders", |_| {}).await.unwrap();
    assert_eq!(app.read::<LastOrder>().get("c-1").await.unwrap().unwrap(), row);
    stop(running).await;
}
