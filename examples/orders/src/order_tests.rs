//! Given, when, then: the aggregate Order.

use super::*;
use factstream::testing::given;

fn item(sku: &str, quantity: u32, price_cents: u64) -> Item {
    Item { sku: sku.into(), quantity, price_cents }
}

fn create(items: Vec<Item>) -> CreateOrder {
    CreateOrder { customer_id: "c-1".into(), items, due_seconds: None }
}

fn created() -> OrderEvent {
    let items = vec![item("SKU-1", 2, 1_999), item("SKU-2", 1, 1)];
    OrderEvent::Created { customer_id: "c-1".into(), items, total_cents: 3_999, due_seconds: None }
}

fn shipped() -> OrderEvent {
    OrderEvent::Shipped { tracking_number: "TN-1".into() }
}

fn cancelled() -> OrderEvent {
    OrderEvent::Cancelled { reason: "out of stock: SKU-1".into() }
}

fn paid() -> OrderEvent {
    OrderEvent::Paid { gateway: "simulated".into(), payment_id: "pay-1".into() }
}

fn reserved(sku: &str) -> OrderEvent {
    OrderEvent::StockReserved { sku: sku.into() }
}

fn ship() -> ShipOrder {
    ShipOrder { tracking_number: "TN-1".into() }
}

fn cancel() -> CancelOrder {
    CancelOrder { reason: "out of stock: SKU-1".into() }
}

fn note_paid() -> Note {
    Note::Paid { payment_id: "pay-1".into() }
}

#[test]
fn a_new_order_is_pending_and_knows_its_total() {
    let order =
        given::<Order>([]).when(create(vec![item("SKU-1", 2, 1_999), item("SKU-2", 1, 1)])).then([created()]);
    assert_eq!((order.status, order.total_cents), (Some(Status::Pending), 3_999));
}

#[test]
fn an_order_is_created_once() {
    given::<Order>([created()])
        .when(create(vec![item("SKU-1", 1, 1)]))
        .then_error(OrderError::AlreadyCreated);
    assert_eq!(OrderError::AlreadyCreated.to_string(), "Order already created");
}

#[test]
fn an_order_of_nothing_or_of_too_much_is_refused() {
    given::<Order>([]).when(create(vec![])).then_error(OrderError::NoItems);
    given::<Order>([])
        .when(create(vec![item("SKU-1", 1, 1); ITEMS_MAX + 1]))
        .then_error(OrderError::TooManyItems(ITEMS_MAX + 1));
    given::<Order>([])
        .when(create(vec![item("SKU-1", 0, 1)]))
        .then_error(OrderError::NoQuantity { sku: "SKU-1".into() });
}

#[test]
fn a_total_that_overflows_is_refused_in_a_line_and_in_the_sum() {
    for items in [vec![item("A", 2, u64::MAX)], vec![item("A", 1, u64::MAX), item("B", 1, 1)]] {
        given::<Order>([]).when(create(items)).then_error(OrderError::TotalTooLarge);
    }
    given::<Order>([]).when(create(vec![item("A", 1, u64::MAX)])).then([OrderEvent::Created {
        customer_id: "c-1".into(),
        items: vec![item("A", 1, u64::MAX)],
        total_cents: u64::MAX,
        due_seconds: None,
    }]);
}

#[test]
fn customers_and_skus_are_neither_empty_nor_hold_control_characters() {
    let invalid = |what| OrderError::Invalid(InvalidId::Empty { what });
    given::<Order>([]).when(create(vec![item("", 1, 1)])).then_error(invalid("SKU"));
    let nobody =
        CreateOrder { customer_id: String::new(), items: vec![item("SKU-1", 1, 1)], due_seconds: None };
    given::<Order>([]).when(nobody).then_error(invalid("customer id"));
    let nul = CreateOrder { customer_id: "c\0".into(), items: vec![item("SKU-1", 1, 1)], due_seconds: None };
    given::<Order>([])
        .when(nul)
        .then_error(OrderError::Invalid(InvalidId::ControlCharacter { what: "customer id" }));
}

#[test]
fn a_pending_order_is_shipped_and_no_other() {
    given::<Order>([created()]).when(ship()).then([shipped()]);
    given::<Order>([]).when(ship()).then_error(OrderError::DoesNotExist);
    given::<Order>([created(), cancelled()])
        .when(ship())
        .then_error(OrderError::CannotShip(Status::Cancelled));
    let twice = OrderError::CannotShip(Status::Shipped);
    assert_eq!(twice.to_string(), "Cannot ship order in SHIPPED status");
    given::<Order>([created(), shipped()]).when(ship()).then_error(twice);
}

#[test]
fn a_parcel_needs_a_tracking_number() {
    let nothing = ShipOrder { tracking_number: String::new() };
    given::<Order>([created()])
        .when(nothing)
        .then_error(OrderError::Invalid(InvalidId::Empty { what: "tracking number" }));
}

#[test]
fn a_pending_order_is_cancelled_once_and_a_shipped_one_never() {
    given::<Order>([created(), paid()]).when(cancel()).then([cancelled()]);
    given::<Order>([created(), cancelled()]).when(cancel()).then([]);
    given::<Order>([created(), shipped()])
        .when(cancel())
        .then_error(OrderError::CannotCancel(Status::Shipped));
    given::<Order>([]).when(cancel()).then_error(OrderError::DoesNotExist);
}

#[test]
fn what_other_services_say_is_recorded_once_in_whatever_order_and_also_after_the_end() {
    let sku = || "SKU-1".to_owned();
    let notes = [
        (note_paid(), paid()),
        (
            Note::Declined { reason: "no money".into() },
            OrderEvent::PaymentDeclined { reason: "no money".into() },
        ),
        (Note::Refunded, OrderEvent::Refunded),
        (Note::Reserved { sku: sku() }, reserved("SKU-1")),
        (Note::OutOfStock { sku: sku() }, OrderEvent::OutOfStock { sku: sku() }),
        (Note::Returned { sku: sku() }, OrderEvent::StockReturned { sku: sku() }),
    ];
    for (note, event) in notes {
        for before in [vec![created()], vec![created(), shipped()], vec![created(), cancelled()]] {
            given::<Order>(before.clone()).when(note.clone()).then([event.clone()]);
            given::<Order>(before.into_iter().chain([event.clone()])).when(note.clone()).then([]);
        }
    }
}

#[test]
fn a_note_about_an_order_that_was_never_placed_is_refused() {
    given::<Order>([]).when(note_paid()).then_error(OrderError::DoesNotExist);
}

#[test]
fn when_an_order_is_due_is_not_part_of_what_its_key_stands_for() {
    let due = |due_seconds| CreateOrder { due_seconds, ..create(vec![item("SKU-1", 1, 1)]) };
    let json = |command: CreateOrder| serde_json::to_string(&command).unwrap();
    assert_eq!(json(due(Some(5))), json(due(None)));
}

#[test]
fn a_status_is_read_as_it_is_written() {
    for status in [Status::Pending, Status::Shipped, Status::Cancelled] {
        assert_eq!(status.to_string().parse(), Ok(status));
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
    }
    assert_eq!("pending".parse::<Status>(), Err(UnknownStatus));
}
