//! The three services together, in this process, on a real file: what an order comes to.

#![allow(clippy::unwrap_used)] // a test that panics says where

use factstream::process::Instance;
use factstream::{App, Running};
use orders::analytics::OrderRevenue;
use orders::app::{self, Config};
use orders::demo::settle;
use orders::fulfilment::{self, Fulfilment, Money};
use orders::gateway::SimulatedGateway;
use orders::inventory::{AddStock, Stock};
use orders::order::{CreateOrder, Item, Order, Status, upcasters};
use orders::payment::{self, Payment};
use orders::projection::OrderProjection;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Shop {
    app: App,
    running: Running,
    _dir: TempDir,
}

impl Shop {
    async fn open(auto_ship: bool, gateway_failure_rate: f64) -> Self {
        Self::open_with(Config { auto_ship, gateway_failure_rate, ..Config::default() }).await
    }

    async fn open_with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = format!("sqlite://{}", dir.path().join("orders.db").display());
        let app = app::open(Config { store, ..config }).await.unwrap();
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
        self.place_due(order_id, customer_id, lines, None).await;
    }

    async fn place_due(
        &self,
        order_id: &str,
        customer_id: &str,
        lines: &[(&str, u32)],
        due_seconds: Option<u32>,
    ) {
        let items = lines.iter().map(|(sku, quantity)| Item {
            sku: (*sku).into(),
            quantity: *quantity,
            price_cents: 1_999,
        });
        let create = CreateOrder { customer_id: customer_id.into(), items: items.collect(), due_seconds };
        self.app.execute(order_id, create).await.unwrap();
    }

    async fn order(&self, order_id: &str) -> Order {
        self.app.load::<Order>(order_id).await.unwrap().0
    }

    async fn payment(&self, order_id: &str) -> Payment {
        self.app.load::<Payment>(order_id).await.unwrap().0
    }

    /// Waits until everybody has come to the end. Then the row of the order is what the aggregate says.
    async fn settled(&self, order_id: &str) -> Order {
        settle(&self.app, Duration::from_secs(20)).await.unwrap();
        let order = self.order(order_id).await;
        let row = self.app.read::<OrderProjection>().get(order_id).await.unwrap();
        assert_eq!(row.map(|row| row.status), order.status);
        order
    }

    /// Waits until the process of an order has ended.
    async fn ended(&self, order_id: &str) -> Instance<Fulfilment> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let instance = self.app.process::<Fulfilment>().get(order_id).await.unwrap();
            match instance.filter(Instance::has_ended) {
                Some(instance) => return instance,
                None => assert!(Instant::now() < deadline, "the process of {order_id} does not end"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn timers(&self, order_id: &str) -> usize {
        self.app.timers().of(fulfilment::NAME, order_id).list().await.unwrap().len()
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

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_is_cancelled_and_everything_goes_back_once() {
    let shop = Shop::open(true, 0.1).await;
    shop.stock("SKU-1", 5).await;
    shop.place_due("o-1", "slow-10", &[("SKU-1", 2)], Some(1)).await;
    let ended = shop.ended("o-1").await;
    assert_eq!((ended.state.payment, ended.state.held.len()), (Money::Refunded, 0));
    let order = shop.settled("o-1").await;
    assert_eq!(order.status, Some(Status::Cancelled));
    assert_eq!(order.cancel_reason.as_deref(), Some("not paid in time"));
    assert_eq!((shop.available("SKU-1").await, shop.payment("o-1").await), (5, Payment::Refunded));
    assert_eq!(shop.timers("o-1").await, 0);
    shop.close().await;
}

#[tokio::test]
async fn the_gateway_is_asked_no_more_often_than_it_allows() {
    const CALLS: u32 = 10;
    let began = Instant::now();
    let shop = Shop::open_with(Config { gateway_calls: NonZeroU32::new(CALLS), ..Config::default() }).await;
    shop.stock("SKU-1", 100).await;
    let orders: Vec<String> = (0..3 * CALLS).map(|n| format!("o-{n}")).collect();
    for order in &orders {
        shop.place(order, "c-1", &[("SKU-1", 1)]).await;
    }
    for order in &orders {
        assert_eq!(shop.settled(order).await.status, Some(Status::Shipped));
    }
    // One at once, and each of the others a tenth of a second after the one before it; a late one's are made up for.
    let at_least = Duration::from_millis(100) * (3 * CALLS - 2);
    assert!(began.elapsed() >= at_least, "30 calls took {:?}", began.elapsed());
    shop.close().await;
}

/// Several times as many as it allows, so that most are told to come again.
#[tokio::test]
async fn what_the_gateway_puts_off_is_paid_when_it_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", dir.path().join("orders.db").display());
    let gateway = SimulatedGateway::new(0.0).allowing(NonZeroU32::new(2).unwrap());
    let builder = App::builder(&store).service("orders").upcasters(upcasters()).aggregate::<Order>();
    let builder = builder.aggregate::<Payment>().consumer(payment::consumer(gateway, None));
    let app = builder.open().await.unwrap();
    let orders = (0..8).map(|n| format!("o-{n}")).collect::<Vec<_>>();
    for order in &orders {
        let items = vec![Item { sku: "SKU-1".into(), quantity: 1, price_cents: 5 }];
        let create = CreateOrder { customer_id: "c-1".into(), items, due_seconds: None };
        app.execute(order.as_str(), create).await.unwrap();
    }
    let running = app.start().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for order in &orders {
        while !matches!(app.load::<Payment>(order).await.unwrap().0, Payment::Approved(_)) {
            assert!(Instant::now() < deadline, "{order} is not paid");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let put_off: u64 = app.status().await.handlers.iter().map(|handler| handler.attempts).sum();
    assert!(put_off > 0, "the gateway has put nothing off");
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    assert!(running.stop(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn an_order_for_an_unknown_sku_is_cancelled_in_time_and_its_dead_letter_holds_nothing_up() {
    let shop = Shop::open(true, 0.0).await;
    shop.place_due("o-1", "c-1", &[("SKU-9", 1)], Some(1)).await;
    assert_eq!(shop.ended("o-1").await.state.payment, Money::Refunded);
    let order = shop.settled("o-1").await;
    let reason = order.cancel_reason.unwrap();
    assert!(["not reserved in time: SKU-9", "not paid in time"].contains(&reason.as_str()), "{reason}");
    shop.close().await;
}

#[tokio::test]
async fn an_order_that_is_done_has_a_process_that_ended_and_waits_for_nothing() {
    let shop = Shop::open(true, 0.0).await;
    shop.stock("SKU-1", 5).await;
    shop.place("o-1", "c-1", &[("SKU-1", 1)]).await;
    assert!(shop.ended("o-1").await.state.complete);
    assert_eq!(shop.timers("o-1").await, 0);
    assert_eq!(shop.settled("o-1").await.status, Some(Status::Shipped));
    shop.close().await;
}

/// As releases before 0.2 left them, which had handlers in the place of the process.
#[tokio::test]
async fn orders_that_a_release_without_the_process_left_half_done_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", dir.path().join("orders.db").display());
    before::leave(&store).await;
    let config = Config { store, ..Config::default() };
    let app = app::open(config).await.unwrap();
    let running = app.start().await.unwrap();
    let shop = Shop { app, running, _dir: dir };
    for order in ["shipped", "cancelled", "paid", "new"] {
        shop.ended(order).await;
        assert_eq!(shop.timers(order).await, 0, "{order}");
    }
    for (order, status) in [
        ("shipped", Status::Shipped),
        ("cancelled", Status::Cancelled),
        ("paid", Status::Shipped),
        ("new", Status::Shipped),
    ] {
        assert_eq!(shop.settled(order).await.status, Some(status), "{order}");
        let of_type = |event_type: &'static str| {
            let events = shop.app.events::<Order>(order, 0, 100);
            async move { events.await.unwrap().iter().filter(|event| event.event_type == event_type).count() }
        };
        let ends = of_type("OrderShipped").await + of_type("OrderCancelled").await;
        assert_eq!(ends, 1, "{order} came to one end");
    }
    assert_eq!(shop.available("SKU-1").await, 10 - 3, "each shipped order has one");
    assert!(shop.app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    shop.close().await;
}

/// What a release without the process has recorded.
mod before {
    use factstream::App;
    use orders::inventory::{Reason, Stock, StockEvent};
    use orders::order::{Item, Order, OrderEvent, upcasters};
    use orders::payment::{Payment, PaymentEvent, PaymentStatus};
    use orders::reservation::{Line, Reservation, ReservationEvent};

    const SKU: &str = "SKU-1";

    fn created() -> OrderEvent {
        let items = vec![Item { sku: SKU.into(), quantity: 1, price_cents: 5 }];
        OrderEvent::Created { customer_id: "c-1".into(), items, total_cents: 5, due_seconds: None }
    }

    fn paid() -> OrderEvent {
        OrderEvent::Paid { gateway: "simulated".into(), payment_id: "pay-1".into() }
    }

    fn reserved() -> OrderEvent {
        OrderEvent::StockReserved { sku: SKU.into() }
    }

    fn processed(order_id: &str, status: PaymentStatus) -> PaymentEvent {
        let (order_id, payment_id) = (order_id.to_owned(), "pay-1".to_owned());
        PaymentEvent::Processed { order_id, payment_id, amount_cents: 5, status, reason: None }
    }

    fn stock(change: i64, available: u64, reason: Reason, order_id: Option<&str>) -> StockEvent {
        StockEvent::Updated {
            sku: SKU.into(),
            change,
            available,
            reason,
            order_id: order_id.map(str::to_owned),
        }
    }

    /// One order that is shipped, one whose payment was declined, one that is paid and whose reservation was not taken in, and one of
    /// which nothing was.
    pub(crate) async fn leave(store: &str) {
        let builder = App::builder(store).service("orders").upcasters(upcasters());
        let builder = builder.aggregate::<Order>().aggregate::<Stock>().aggregate::<Reservation>();
        let app = builder.aggregate::<Payment>().open().await.unwrap();
        let mut tx = app.begin().await.unwrap();
        tx.append::<Stock>(SKU, &[stock(10, 10, Reason::Stocked, None)]).await.unwrap();
        let held = || ReservationEvent::Held { lines: vec![Line { sku: SKU.into(), quantity: 1 }] };
        let shipped = OrderEvent::Shipped { tracking_number: "TN-1".into() };
        tx.append::<Order>("shipped", &[created()]).await.unwrap();
        tx.append::<Payment>("shipped", &[processed("shipped", PaymentStatus::Approved)]).await.unwrap();
        tx.append::<Stock>(SKU, &[stock(-1, 9, Reason::Reserved, Some("shipped"))]).await.unwrap();
        tx.append::<Reservation>("shipped", &[held()]).await.unwrap();
        tx.append::<Order>("shipped", &[paid(), reserved(), shipped]).await.unwrap();

        tx.append::<Order>("cancelled", &[created()]).await.unwrap();
        tx.append::<Payment>("cancelled", &[processed("cancelled", PaymentStatus::Declined)]).await.unwrap();
        tx.append::<Order>("cancelled", &[OrderEvent::Cancelled { reason: "payment declined: x".into() }])
            .await
            .unwrap();

        tx.append::<Order>("paid", &[created()]).await.unwrap();
        tx.append::<Payment>("paid", &[processed("paid", PaymentStatus::Approved)]).await.unwrap();
        tx.append::<Order>("paid", &[paid()]).await.unwrap();
        tx.append::<Stock>(SKU, &[stock(-1, 8, Reason::Reserved, Some("paid"))]).await.unwrap();
        tx.append::<Reservation>("paid", &[held()]).await.unwrap();

        tx.append::<Order>("new", &[created()]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn what_each_order_brought_in_is_joined_from_two_topics() {
    let shop = Shop::open_with(Config { analytics: true, ..Config::default() }).await;
    shop.stock("SKU-1", 100).await;
    for n in 0..20 {
        shop.place(&format!("o-{n}"), &format!("c-{n}"), &[("SKU-1", 2)]).await;
    }
    // Paid, and not in stock: the money goes back.
    shop.place_due("o-late", "c-late", &[("SKU-2", 1)], Some(1)).await;
    shop.ended("o-late").await;
    shop.settled("o-late").await;
    for (order, customer, is_back) in (0..20).map(|n| (format!("o-{n}"), format!("c-{n}"), false)).chain([(
        "o-late".into(),
        "c-late".into(),
        true,
    )]) {
        let row = shop.app.read::<OrderRevenue>().get(&order).await.unwrap().unwrap();
        assert_eq!((row.customer_id.as_deref(), row.payments), (Some(&*customer), 1), "{row:?}");
        assert_eq!(row.paid_cents == 0, is_back, "{row:?}");
        assert!(!row.is_out_of_order, "{row:?}");
    }
    shop.close().await;
}
