//! The three services together, in this process, on a real file: what an order comes to.

#![allow(clippy::unwrap_used)] // a test that panics says where

use factstream::{App, Running};
use orders::app::{self, Config};
use orders::inventory::{AddStock, Stock};
use orders::order::{CreateOrder, Item, Order, Status};
use orders::payment::Payment;
use orders::projection::OrderProjection;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Shop {
    app: App,
    running: Running,
    _dir: TempDir,
}

impl Shop {
    async fn open(auto_ship: bool, gateway_failure_rate: f64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = format!("sqlite://{}", dir.path().join("orders.db").display());
        let config = Config { store, auto_ship, gateway_failure_rate, ..Config::default() };
        let app = app::open(config).await.unwrap();
        let running = app.start().await.unwrap();
        Self { app, running, _dir: dir }
    }

    async fn stock(&self, sku: &str, quantity: u32) {
        self.app.execute(sku, AddStock { sku: sku.into(), quantity }).await.unwrap();
    }

    async fn available(&self, sku: &str) -> u64 {
        self.app.load::<Stock>(sku).await.unwrap().0.available
    }

    async fn place(&self, order_id: &str, customer_id: &str, lines: &[(&str, u32)]) {
        let items = lines.iter().map(|(sku, quantity)| Item {
            sku: (*sku).into(),
            quantity: *quantity,
            price_cents: 1_999,
        });
        let create = CreateOrder { customer_id: customer_id.into(), items: items.collect() };
        self.app.execute(order_id, create).await.unwrap();
    }

    async fn order(&self, order_id: &str) -> Order {
        self.app.load::<Order>(order_id).await.unwrap().0
    }

    async fn payment(&self, order_id: &str) -> Payment {
        self.app.load::<Payment>(order_id).await.unwrap().0
    }

    /// Waits until everybody has come to the end: seen twice in a row with no event between, because a status is not
    /// taken at one instant. Then the row of the order is what the aggregate says.
    async fn settled(&self, order_id: &str) -> Order {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut settled_at = None;
        loop {
            let status = self.app.status().await;
            let settled = if status.unsettled().is_empty() { status.position } else { None };
            if settled.is_some() && settled == settled_at {
                break;
            }
            settled_at = settled;
            assert!(Instant::now() < deadline, "it did not settle: {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let order = self.order(order_id).await;
        let row = self.app.read::<OrderProjection>().get(order_id).await.unwrap();
        assert_eq!(row.map(|row| row.status), order.status);
        order
    }

    async fn close(self) {
        assert!(self.running.stop(Duration::from_secs(10)).await, "everything ends in time");
    }
}

#[tokio::test]
async fn an_order_is_paid_reserved_and_shipped_although_the_gateway_fails_now_and_then() {
    let shop = Shop::open(true, 0.3).await;
    shop.stock("SKU-1", 100).await;
    for n in 0..10 {
        shop.place(&format!("o-{n}"), "c-1", &[("SKU-1", 2), ("SKU-1", 1)]).await;
    }
    for n in 0..10 {
        let order = shop.settled(&format!("o-{n}")).await;
        assert_eq!(order.status, Some(Status::Shipped));
        assert_eq!(order.tracking_number, Some(format!("TN-o-{n}")));
    }
    assert_eq!(shop.available("SKU-1").await, 70);
    shop.close().await;
}

#[tokio::test]
async fn without_auto_ship_an_order_that_has_everything_waits() {
    let shop = Shop::open(false, 0.0).await;
    shop.stock("SKU-1", 1).await;
    shop.place("o-1", "c-1", &[("SKU-1", 1)]).await;
    let order = shop.settled("o-1").await;
    assert_eq!(order.status, Some(Status::Pending));
    assert!(order.payment_id.is_some() && order.reserved.contains("SKU-1"));
    shop.close().await;
}

#[tokio::test]
async fn a_declined_payment_cancels_the_order_and_the_stock_returns() {
    let shop = Shop::open(true, 0.0).await;
    shop.stock("SKU-1", 5).await;
    shop.place("o-1", "declined-1", &[("SKU-1", 2)]).await;
    let order = shop.settled("o-1").await;
    assert_eq!(order.status, Some(Status::Cancelled));
    assert_eq!(order.cancel_reason.as_deref(), Some("payment declined: the card was declined"));
    assert_eq!(shop.available("SKU-1").await, 5);
    assert_eq!(shop.payment("o-1").await, Payment::Declined);
    shop.close().await;
}

#[tokio::test]
async fn an_order_for_more_than_there_is_takes_nothing_is_cancelled_and_the_money_goes_back() {
    let shop = Shop::open(true, 0.0).await;
    shop.stock("SKU-1", 5).await;
    shop.stock("SKU-2", 5).await;
    shop.place("o-1", "c-1", &[("SKU-1", 1), ("SKU-2", 3), ("SKU-2", 3)]).await;
    let order = shop.settled("o-1").await;
    assert_eq!(order.status, Some(Status::Cancelled));
    assert_eq!(order.cancel_reason.as_deref(), Some("out of stock: SKU-2"));
    assert_eq!((shop.available("SKU-1").await, shop.available("SKU-2").await), (5, 5));
    assert_eq!(shop.payment("o-1").await, Payment::Refunded);
    shop.close().await;
}

#[tokio::test]
async fn an_unknown_sku_is_a_dead_letter_until_it_is_stocked_and_redriven() {
    let shop = Shop::open(true, 0.0).await;
    shop.place("o-1", "c-1", &[("SKU-9", 1)]).await;
    assert_eq!(shop.settled("o-1").await.status, Some(Status::Pending));
    let letters = shop.app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].handler.as_str(), letters[0].key.as_str(), letters[0].attempts),
        ("inventory", "o-1", 1)
    );
    assert_eq!(letters[0].reason.as_deref(), Some("unknown SKU SKU-9: stock it, then redrive"));
    shop.stock("SKU-9", 1).await;
    shop.app.dead_letters().redrive(letters[0].id).await.unwrap();
    assert_eq!(shop.settled("o-1").await.status, Some(Status::Shipped));
    assert_eq!(shop.available("SKU-9").await, 0);
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_is_cancelled_while_its_reservation_is_a_dead_letter_keeps_nothing() {
    let shop = Shop::open(true, 0.0).await;
    shop.place("o-1", "declined-1", &[("SKU-9", 1)]).await;
    assert_eq!(shop.settled("o-1").await.status, Some(Status::Cancelled));
    let letters = shop.app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(letters[0].parked_behind, 1, "the cancellation waits behind the creation");
    shop.stock("SKU-9", 3).await;
    shop.app.dead_letters().redrive(letters[0].id).await.unwrap();
    assert_eq!(shop.settled("o-1").await.status, Some(Status::Cancelled));
    assert_eq!(shop.available("SKU-9").await, 3);
    shop.close().await;
}
