//! Given, when, then: the aggregate Stock.

use super::*;
use factstream::testing::given;

fn updated(change: i64, available: u64, reason: Reason, order_id: Option<&str>) -> StockEvent {
    StockEvent::Updated {
        sku: "SKU-1".into(),
        change,
        available,
        reason,
        order_id: order_id.map(str::to_owned),
    }
}

fn stocked(quantity: u32) -> StockEvent {
    updated(quantity.into(), quantity.into(), Reason::Stocked, None)
}

fn add(quantity: u32) -> AddStock {
    AddStock { sku: "SKU-1".into(), quantity }
}

fn line(quantity: u64) -> Line {
    Line { sku: "SKU-1".into(), quantity }
}

fn reserve(quantity: u64) -> Reserve {
    Reserve { order_id: "o-1".into(), line: line(quantity) }
}

#[test]
fn goods_that_come_in_add_up() {
    let stock = given::<Stock>([stocked(10)]).when(add(5)).then([updated(5, 15, Reason::Stocked, None)]);
    assert_eq!(stock, Stock { known: true, available: 15 });
}

#[test]
fn nothing_is_not_stocked_and_neither_is_more_than_can_be_counted() {
    given::<Stock>([]).when(add(0)).then_error(StockError::NoQuantity);
    let full = updated(1, i64::MAX.unsigned_abs(), Reason::Stocked, None);
    given::<Stock>([full]).when(add(1)).then_error(StockError::TooMuch { sku: "SKU-1".into() });
}

#[test]
fn a_sku_has_a_usable_name() {
    for sku in ["", "a\0b", "a\nb"] {
        let refused = AddStock { sku: sku.into(), quantity: 1 }.decide(&Stock::default());
        assert!(matches!(refused, Err(StockError::Invalid(_))), "{sku:?}");
    }
}

#[test]
fn all_that_is_there_can_be_reserved_and_not_one_more() {
    given::<Stock>([stocked(10)]).when(reserve(10)).then([updated(-10, 0, Reason::Reserved, Some("o-1"))]);
    given::<Stock>([stocked(10)]).when(reserve(11)).then_error(StockError::TooLittle {
        sku: "SKU-1".into(),
        wanted: 11,
        available: 10,
    });
}

#[test]
fn nothing_is_reserved_of_an_unknown_sku() {
    given::<Stock>([]).when(reserve(1)).then_error(StockError::UnknownSku { sku: "SKU-1".into() });
}

#[test]
fn what_is_returned_can_be_reserved_again() {
    let returned = Return { order_id: "o-1".into(), line: line(4) };
    given::<Stock>([stocked(10), updated(-4, 6, Reason::Reserved, Some("o-1"))])
        .when(returned)
        .then([updated(4, 10, Reason::Returned, Some("o-1"))]);
}

#[test]
fn an_order_that_wants_too_much_is_told_of_and_changes_nothing() {
    let report = ReportOutOfStock { order_id: "o-1".into(), sku: "SKU-1".into() };
    let stock =
        given::<Stock>([stocked(3)]).when(report).then([updated(0, 3, Reason::OutOfStock, Some("o-1"))]);
    assert_eq!(stock.available, 3);
}

#[test]
fn lines_of_one_sku_are_added_up_without_overflow() {
    let item = |sku: &str, quantity| Wanted { sku: sku.into(), quantity };
    let items = [item("B", 1), item("A", u32::MAX), item("B", 2), item("A", u32::MAX)];
    let wanted = [("A", 2 * u64::from(u32::MAX)), ("B", 3)];
    assert_eq!(lines(&items), wanted.map(|(sku, quantity)| Line { sku: sku.into(), quantity }));
}
