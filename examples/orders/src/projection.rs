//! The read model `order_projections`: one row for each order, for the API and for anybody's SQL.

use crate::order::{Item, OrderEvent, Status};
use factstream::{Envelope, Fold, ReadModel, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One order, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, ReadModel, Serialize, Deserialize)]
#[read_model(table = "order_projections")]
pub struct OrderProjection {
    /// The order.
    #[column(key)]
    pub order_id: String,
    /// Who placed it.
    #[column(index)]
    pub customer_id: String,
    /// What.
    #[column(json)]
    pub items: Vec<Item>,
    /// Where it stands.
    #[column(text, index)]
    pub status: Status,
    /// The parcel, once it is shipped.
    pub tracking_number: Option<String>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was shipped.
    pub shipped_at: Option<Timestamp>,
    /// The order's version that the row shows: what a change of it may expect.
    pub version: Version,
}

impl Fold for OrderProjection {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let version = event.version.unwrap_or_default();
        match &event.event {
            OrderEvent::Created { customer_id, items, .. } => Some(Self {
                order_id: event.aggregate_id.clone(),
                customer_id: customer_id.clone(),
                items: items.clone(),
                status: Status::Pending,
                tracking_number: None,
                created_at: event.timestamp,
                shipped_at: None,
                version,
            }),
            OrderEvent::Shipped { tracking_number } => row.map(|row| Self {
                status: Status::Shipped,
                tracking_number: Some(tracking_number.clone()),
                shipped_at: Some(event.timestamp),
                version,
                ..row
            }),
            OrderEvent::Cancelled { .. } => row.map(|row| Self { status: Status::Cancelled, version, ..row }),
            OrderEvent::Paid { .. }
            | OrderEvent::StockReserved { .. }
            | OrderEvent::PaymentDeclined { .. }
            | OrderEvent::Refunded
            | OrderEvent::OutOfStock { .. }
            | OrderEvent::StockReturned { .. } => row.map(|row| Self { version, ..row }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factstream::event::Event as _;
    use std::collections::BTreeMap;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn recorded(second: i64, event: OrderEvent) -> Envelope<OrderEvent> {
        Envelope {
            event_id: "e".into(),
            event_type: event.event_type().name.to_owned(),
            event,
            schema_version: 1,
            aggregate_id: "o-1".into(),
            aggregate_type: None,
            version: u64::try_from(second).ok(),
            position: None,
            timestamp: at(second),
            source: "orders".into(),
            correlation_id: None,
            causation_id: None,
            traceparent: None,
            actor: None,
            attributes: BTreeMap::new(),
            topic: None,
            causes: factstream::causes::Causes::default(),
            scoped_id: None,
        }
    }

    fn folded(events: Vec<OrderEvent>) -> Option<OrderProjection> {
        (1..)
            .zip(events)
            .fold(None, |row, (second, event)| OrderProjection::fold(row, &recorded(second, event)))
    }

    fn created() -> OrderEvent {
        let items = vec![Item { sku: "SKU-1".into(), quantity: 2, price_cents: 5 }];
        OrderEvent::Created { customer_id: "c-1".into(), items, total_cents: 10, due_seconds: None }
    }

    #[test]
    fn a_created_order_is_pending_since_then() {
        let row = folded(vec![
            created(),
            OrderEvent::Paid { gateway: "simulated".into(), payment_id: "pay-1".into() },
        ])
        .unwrap();
        assert_eq!((row.order_id.as_str(), row.status, row.created_at), ("o-1", Status::Pending, at(1)));
        assert_eq!((row.tracking_number, row.shipped_at, row.version), (None, None, 2));
    }

    #[test]
    fn a_shipped_order_knows_its_parcel_and_when() {
        let row = folded(vec![created(), OrderEvent::Shipped { tracking_number: "TN-1".into() }]).unwrap();
        assert_eq!((row.status, row.tracking_number.as_deref()), (Status::Shipped, Some("TN-1")));
        assert_eq!((row.created_at, row.shipped_at), (at(1), Some(at(2))));
    }

    #[test]
    fn a_cancelled_order_keeps_its_row() {
        let row =
            folded(vec![created(), OrderEvent::Cancelled { reason: "out of stock: SKU-1".into() }]).unwrap();
        assert_eq!((row.status, row.customer_id.as_str()), (Status::Cancelled, "c-1"));
    }
}
