//! Given, when, then: the process.

use super::*;
use crate::order::{Item, OrderError, Status};
use factstream::testing::{Happens, any_order, process};

const ID: &str = "o-1";

fn created() -> Envelope<OrderEvent> {
    let item = |sku: &str| Item { sku: sku.into(), quantity: 1, price_cents: 5 };
    let items = vec![item("SKU-1"), item("SKU-2"), item("SKU-1")];
    event(OrderEvent::Created { customer_id: "c-1".into(), items, total_cents: 15, due_seconds: Some(60) })
}

fn event(event: OrderEvent) -> Envelope<OrderEvent> {
    Envelope::of(ID, event)
}

fn paid() -> Envelope<OrderEvent> {
    event(OrderEvent::Paid { gateway: "simulated".into(), payment_id: "pay-1".into() })
}

fn declined() -> Envelope<OrderEvent> {
    event(OrderEvent::PaymentDeclined { reason: "no money".into() })
}

fn reserved(sku: &str) -> Envelope<OrderEvent> {
    event(OrderEvent::StockReserved { sku: sku.into() })
}

fn returned(sku: &str) -> Envelope<OrderEvent> {
    event(OrderEvent::StockReturned { sku: sku.into() })
}

fn cancelled(reason: &str) -> Envelope<OrderEvent> {
    event(OrderEvent::Cancelled { reason: reason.into() })
}

fn ship(acts: &mut Acts) {
    acts.command::<Order, _>(ID, ShipOrder { tracking_number: "TN-o-1".into() });
    acts.end();
}

fn cancel(reason: &'static str) -> impl FnOnce(&mut Acts) {
    move |acts| {
        acts.cancel(DUE);
        acts.command::<Order, _>(ID, CancelOrder { reason: reason.into() });
    }
}

#[test]
fn an_order_has_as_long_as_it_says_or_the_usual_time() {
    process::<Fulfilment>(ID).when(created()).then(|acts| acts.timer(DUE).after(Duration::from_secs(60)));
    let usual =
        OrderEvent::Created { customer_id: "c".into(), items: vec![], total_cents: 0, due_seconds: None };
    let usual = process::<Fulfilment>(ID).when(event(usual));
    usual.then(|acts| acts.timer(DUE).after(Duration::from_secs(15 * 60)));
}

#[test]
fn it_ships_when_payment_and_every_sku_are_in_whatever_comes_last() {
    let all = [paid(), reserved("SKU-1"), reserved("SKU-2")];
    for last in 0..all.len() {
        let mut before = all.to_vec();
        let last = before.remove(last);
        let complete = process::<Fulfilment>(ID).given([created()]).given(before).when(last).then(ship);
        assert!(complete.has_ended());
    }
}

#[test]
fn an_order_that_a_person_ships_waits_for_that_and_is_not_overdue() {
    let facts = [created(), reserved("SKU-1"), reserved("SKU-2")];
    let waits = process::<Fulfilment<ByHand>>(ID).given(facts).when(paid()).then(|acts| acts.cancel(DUE));
    assert!(!waits.has_ended());
    waits.when(event(OrderEvent::Shipped { tracking_number: "TN-7".into() })).then(Acts::end);
}

#[test]
fn a_declined_payment_cancels_and_ends_when_the_stock_is_back() {
    let playing = process::<Fulfilment>(ID)
        .given([created(), reserved("SKU-1"), reserved("SKU-2")])
        .when(declined())
        .then(cancel("payment declined: no money"))
        .when(cancelled("payment declined: no money"))
        .then_nothing()
        .when(returned("SKU-2"))
        .then_nothing();
    assert!(!playing.has_ended());
    assert!(playing.when(returned("SKU-1")).then(Acts::end).has_ended());
}

#[test]
fn an_order_that_is_not_paid_in_time_ends_when_the_payment_that_came_late_is_back() {
    process::<Fulfilment>(ID)
        .given([created(), reserved("SKU-1"), reserved("SKU-2")])
        .when_timer(DUE)
        .then(cancel("not paid in time"))
        .given([cancelled("not paid in time"), returned("SKU-1"), returned("SKU-2")])
        .when(paid())
        .then_nothing()
        .when(event(OrderEvent::Refunded))
        .then(Acts::end);
}

#[test]
fn an_order_that_is_not_reserved_in_time_says_of_what() {
    let playing = process::<Fulfilment>(ID).given([created(), paid(), reserved("SKU-1")]);
    playing.when_timer(DUE).then(cancel("not reserved in time: SKU-2"));
}

#[test]
fn it_cancels_once_whatever_else_fails() {
    process::<Fulfilment>(ID)
        .given([created()])
        .when(event(OrderEvent::OutOfStock { sku: "SKU-2".into() }))
        .then(cancel("out of stock: SKU-2"))
        .when(declined())
        .then(Acts::end)
        .when(cancelled("out of stock: SKU-2"))
        .then_nothing();
}

#[test]
fn a_refused_command_asks_for_nothing_and_the_event_that_explains_it_ends_the_process() {
    process::<Fulfilment>(ID).given([created()]).when(declined()).then(|acts| {
        cancel("payment declined: no money")(acts);
        acts.end(); // nothing was taken
    });
    let overdue = process::<Fulfilment>(ID).given([created(), paid()]).when_timer(DUE);
    let reason = "not reserved in time: SKU-1";
    overdue
        .then(cancel(reason))
        .when_refused::<Order, _>(
            ID,
            CancelOrder { reason: reason.into() },
            OrderError::CannotCancel(Status::Shipped),
        )
        .then_nothing()
        .when(event(OrderEvent::Shipped { tracking_number: "TN-7".into() }))
        .then(Acts::end);
}

#[test]
fn an_order_that_somebody_else_has_cancelled_waits_for_nothing() {
    let playing = process::<Fulfilment>(ID).given([created(), paid(), reserved("SKU-1")]);
    playing.when(cancelled("by the release before")).then(Acts::end);
}

#[test]
fn it_ships_in_every_order_of_its_facts_also_where_they_come_twice() {
    let outcome = any_order::<Fulfilment>(ID)
        .first(created())
        .stream([paid()])
        .stream([reserved("SKU-1")])
        .stream([reserved("SKU-2")])
        .holds();
    assert!(outcome.ended && outcome.state.complete && outcome.orders == 6, "{outcome:?}");
}

#[test]
fn everything_is_back_when_it_ends_in_every_order_of_its_facts_also_where_they_come_twice() {
    let reason = "not paid in time";
    let outcome = any_order::<Fulfilment>(ID)
        .first(created())
        .first(reserved("SKU-1"))
        .first(reserved("SKU-2"))
        .first(Happens::due(DUE))
        .stream([paid(), event(OrderEvent::Refunded)])
        .stream([returned("SKU-1")])
        .stream([returned("SKU-2")])
        .stream([cancelled(reason)])
        .holds();
    assert!(outcome.ended && outcome.state.held.is_empty(), "{outcome:?}");
    assert_eq!((outcome.state.payment, outcome.state.cancelled.as_deref()), (Money::Refunded, Some(reason)));
}
