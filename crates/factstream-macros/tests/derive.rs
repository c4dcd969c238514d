//! What the derives make, at run time.
#![allow(missing_docs)]

use factstream_core as factstream;
use factstream_core::event::{DEFAULT_TOPIC, Event as _, EventSet as _};
use factstream_core::read_model::ReadModel as _;
use factstream_core::sql::{Row, Value};
use factstream_macros::{Event, EventSet, ReadModel};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Closing {
    reason: String,
}

#[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
#[serde(rename_all = "snake_case", rename_all_fields = "camelCase")]
enum OrderEvent {
    #[event(name = "OrderCreated", version = 3, since = 2)]
    Created {
        customer_id: String,
        #[serde(default)]
        note: Option<String>,
    },
    #[event(private)]
    Checked,
    #[event(topic = "closings")]
    Closed(Closing),
}

#[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
enum PaymentEvent {
    PaymentProcessed { cents: i64 },
}

#[derive(Debug, PartialEq, EventSet)]
enum Facts {
    Order(OrderEvent),
    Payment(PaymentEvent),
}

#[test]
fn attributes_of_a_variant_win_over_those_of_the_enum() {
    let told: Vec<_> =
        OrderEvent::event_types().iter().map(|t| (t.name, t.version, t.since, t.topic)).collect();
    assert_eq!(
        told,
        [
            ("OrderCreated", 3, 2, Some("orders.events")),
            ("Checked", 1, 1, None),
            ("Closed", 1, 1, Some("closings")),
        ]
    );
    assert_eq!(PaymentEvent::event_types()[0].topic, Some(DEFAULT_TOPIC));
}

#[test]
fn every_kind_of_variant_survives_as_one_flat_object() {
    let cases = [
        (OrderEvent::Created { customer_id: "c".into(), note: None }, r#"{"customerId":"c","note":null}"#),
        (OrderEvent::Checked, "{}"),
        (OrderEvent::Closed(Closing { reason: "r".into() }), r#"{"reason":"r"}"#),
    ];
    for (event, json) in cases {
        assert_eq!(event.encode().unwrap(), json);
        let name = event.event_type().name;
        assert_eq!(OrderEvent::decode(name, json).unwrap().unwrap(), event);
    }
}

#[test]
fn a_set_decodes_what_any_of_its_enums_knows_and_nothing_else() {
    assert_eq!(Facts::event_types().len(), 4);
    let payment = Facts::decode("PaymentProcessed", r#"{"cents":5}"#).unwrap().unwrap();
    assert_eq!(payment, Facts::Payment(PaymentEvent::PaymentProcessed { cents: 5 }));
    let order = Facts::decode("Checked", "{}").unwrap().unwrap();
    assert_eq!(order, Facts::Order(OrderEvent::Checked));
    assert!(Facts::decode("Nobody", "{}").is_none());
    assert!(Facts::decode("PaymentProcessed", "{}").unwrap().is_err());
}

#[derive(Debug, Clone, PartialEq)]
enum Status {
    Open,
    Closed,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Status::Open { "OPEN" } else { "CLOSED" })
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "OPEN" => Ok(Status::Open),
            "CLOSED" => Ok(Status::Closed),
            _ => Err(()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, ReadModel)]
#[read_model(table = "order_rows")]
struct OrderRow {
    amount: i64,
    #[column(key)]
    order_id: String,
    #[column(text, index)]
    status: Status,
    #[column(json, name = "tag_list")]
    tags: Vec<String>,
    r#type: Option<String>,
}

fn row(values: Vec<Value>) -> Row {
    let names: Vec<String> = OrderRow::COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    Row::new(names.into(), values)
}

#[test]
fn a_row_survives_and_its_columns_are_as_declared() {
    let order = OrderRow {
        amount: 5,
        order_id: "o-1".into(),
        status: Status::Closed,
        tags: vec!["a".into()],
        r#type: None,
    };
    let names: Vec<_> = OrderRow::COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(names, ["amount", "order_id", "status", "tag_list", "type"]);
    assert_eq!((OrderRow::KEY, order.key()), (1, Value::Text("o-1".into())));
    assert!(OrderRow::COLUMNS[2].index && OrderRow::COLUMNS[4].nullable);
    let values = order.to_row().unwrap();
    assert_eq!(values[2..], [Value::Text("CLOSED".into()), Value::Text("[\"a\"]".into()), Value::Null]);
    assert_eq!(OrderRow::from_row(&row(values)).unwrap(), order);
}

#[test]
fn a_value_that_does_not_fit_names_its_column() {
    let good = || vec![Value::Integer(1), "o".into(), "OPEN".into(), "[]".into(), Value::Null];
    for (at, bad, column) in [(2, "HALF OPEN", "status"), (3, "{", "tag_list")] {
        let mut values = good();
        values[at] = bad.into();
        let error = OrderRow::from_row(&row(values)).unwrap_err().to_string();
        assert!(error.contains(column), "{error}");
    }
}
