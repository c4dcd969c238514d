//! Given, when, then: the aggregate Payment.

use super::*;
use factstream::testing::given;

const ORDER: &str = "o-1";

fn approved() -> PaymentEvent {
    PaymentEvent::Processed {
        order_id: ORDER.into(),
        payment_id: "pay-1".into(),
        amount_cents: 3_998,
        status: PaymentStatus::Approved,
        reason: None,
    }
}

fn declined() -> PaymentEvent {
    PaymentEvent::Processed {
        order_id: ORDER.into(),
        payment_id: "pay-1".into(),
        amount_cents: 3_998,
        status: PaymentStatus::Declined,
        reason: Some("no money".into()),
    }
}

fn requested() -> PaymentEvent {
    PaymentEvent::RefundRequested { order_id: ORDER.into(), payment_id: "pay-1".into(), amount_cents: 3_998 }
}

fn refunded() -> PaymentEvent {
    PaymentEvent::Refunded { order_id: ORDER.into(), payment_id: "pay-1".into(), amount_cents: 3_998 }
}

fn record(answer: Answer) -> RecordCharge {
    RecordCharge { order_id: ORDER.into(), amount_cents: 3_998, answer }
}

fn yes() -> RecordCharge {
    record(Answer::Approved { payment_id: "pay-1".into() })
}

fn no() -> RecordCharge {
    record(Answer::Declined { payment_id: "pay-1".into(), reason: "no money".into() })
}

fn request() -> RequestRefund {
    RequestRefund { order_id: ORDER.into() }
}

fn refund() -> RecordRefund {
    RecordRefund { order_id: ORDER.into() }
}

#[test]
fn the_gateways_answer_is_recorded_once_whatever_it_is() {
    given::<Payment>([]).when(yes()).then([approved()]);
    given::<Payment>([]).when(no()).then([declined()]);
    for history in [vec![approved()], vec![declined()], vec![approved(), requested()]] {
        given::<Payment>(history.clone()).when(yes()).then([]);
        given::<Payment>(history).when(no()).then([]);
    }
}

#[test]
fn only_an_approved_payment_is_refunded_and_only_once() {
    given::<Payment>([approved()]).when(request()).then([requested()]);
    for history in
        [vec![], vec![declined()], vec![approved(), requested()], vec![approved(), requested(), refunded()]]
    {
        given::<Payment>(history).when(request()).then([]);
    }
}

#[test]
fn a_refund_is_recorded_once_and_only_when_it_was_requested() {
    given::<Payment>([approved(), requested()]).when(refund()).then([refunded()]);
    given::<Payment>([approved(), requested(), refunded()]).when(refund()).then([]);
    given::<Payment>([approved()]).when(refund()).then_error(NoRefundRequested { order_id: ORDER.into() });
}
