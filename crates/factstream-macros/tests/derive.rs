//! What the derives make, at run time.
#![allow(missing_docs)]

use factstream_core as factstream;
use factstream_core::event::{DEFAULT_TOPIC, Event as _, EventSet as _};
use factstream_core::read_model::{ReadModel as _, RowKey};
use factstream_core::sql::{Row, Value};
use factstream_macros::{Event, EventSet, ReadModel, Shape};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, PartialEq, Serialize, Deserialize, Shape)]
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

#[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
#[event(private)]
enum NoteEvent {
    r#Type {
        r#type: String,
        #[serde(flatten)]
        by: Author,
    },
    #[event(topic = "notes")]
    #[deprecated = "written until 2025"]
    Struck {
        #[serde(rename(serialize = "why", deserialize = "why"), alias = "cause")]
        reason: String,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Shape)]
struct Author {
    name: String,
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
            ("OrderChecked", 1, 1, None),
            ("OrderClosed", 1, 1, Some("closings")),
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
    let order = Facts::decode("OrderChecked", "{}").unwrap().unwrap();
    assert_eq!(order, Facts::Order(OrderEvent::Checked));
    assert!(Facts::decode("Nobody", "{}").is_none());
    assert!(Facts::decode("PaymentProcessed", "{}").unwrap().is_err());
}

#[test]
fn a_topic_on_a_variant_wins_over_a_private_enum_and_a_raw_name_is_plain() {
    let told: Vec<_> = NoteEvent::event_types().iter().map(|t| (t.name, t.topic)).collect();
    assert_eq!(told, [("NoteType", None), ("NoteStruck", Some("notes"))]);
}

#[test]
fn a_published_value_with_added_fields_is_the_same_event() {
    let note = NoteEvent::Type { r#type: "n".into(), by: Author { name: "a".into() } };
    assert_eq!(note.encode().unwrap(), r#"{"type":"n","name":"a"}"#);
    let published = r#"{"aggregate_id":"o-1","type":"n","name":"a","added":[1]}"#;
    assert_eq!(NoteEvent::decode("NoteType", published).unwrap().unwrap(), note);
    assert_eq!(OrderEvent::decode("OrderChecked", published).unwrap().unwrap(), OrderEvent::Checked);
    assert!(NoteEvent::decode("NoteStruck", r#"{"cause":"c"}"#).unwrap().is_ok());
}

#[test]
fn sets_are_joined_to_wider_sets() {
    #[derive(Debug, PartialEq, EventSet)]
    enum All {
        Facts(Facts),
        Note(NoteEvent),
    }

    assert_eq!(All::event_types().len(), 6);
    assert!(matches!(
        All::decode("OrderChecked", "{}"),
        Some(Ok(All::Facts(Facts::Order(OrderEvent::Checked))))
    ));
    let note = All::decode("NoteStruck", r#"{"why":"w"}"#).unwrap().unwrap();
    assert!(matches!(note, All::Note(note) if note.event_type().name == "NoteStruck"));
}

/// A module in which every short name that generated code could lean on means something else.
mod shadowed {
    use super::{Deserialize, Event, EventSet, ReadModel, Serialize, Shape, factstream};

    #[derive(Debug)]
    pub(super) enum Answer {
        Some,
        None,
        Ok,
        Err,
    }
    pub(super) use Answer::{Err, None, Ok, Some};

    pub(super) struct String;
    pub(super) struct Vec;

    macro_rules! events {
        ($content:ty) => {
            #[derive(Event, Serialize, Deserialize)]
            pub(super) enum Through {
                Macro($content),
            }

            #[derive(Shape)]
            #[serde(tag = "kind", rename_all = "lowercase")]
            #[expect(dead_code, reason = "only its shape is asked for")]
            pub(super) enum Shaped<T> {
                Unit,
                Of(core::option::Option<u8>),
                Named {
                    #[serde(default, alias = "b", skip_serializing_if = "core::option::Option::is_none")]
                    a: core::option::Option<T>,
                },
            }
        };
    }
    events!(super::Closing);

    #[derive(EventSet)]
    pub(super) enum Set {
        Through(Through),
    }

    #[derive(Clone, ReadModel)]
    #[read_model(table = "shadowed")]
    pub(super) struct Row {
        #[column(key)]
        pub(super) id: i64,
        #[column(json)]
        pub(super) maybe: core::option::Option<u8>,
    }
}

#[test]
fn generated_code_does_not_lean_on_names_that_a_user_may_take() {
    let _ = (shadowed::String, shadowed::Vec, [shadowed::Some, shadowed::None, shadowed::Ok, shadowed::Err]);
    assert_eq!(shadowed::Set::event_types()[0].name, "ThroughMacro");
    let shadowed::Set::Through(shadowed::Through::Macro(closing)) =
        shadowed::Set::decode("ThroughMacro", r#"{"reason":"r"}"#).unwrap().unwrap();
    assert_eq!(closing, Closing { reason: "r".into() });
}

#[test]
fn an_option_kept_as_json_is_text_and_never_null() {
    let row = shadowed::Row { id: 7, maybe: None };
    let column = &shadowed::Row::COLUMNS[1];
    assert_eq!((column.sql_type, column.nullable), ("TEXT", false));
    let values = row.to_row().unwrap();
    assert_eq!(values, [Value::Integer(7), Value::Text("null".into())]);
    let names = ["id".to_owned(), "maybe".to_owned()];
    assert_eq!(shadowed::Row::from_row(&Row::new(names.clone().into(), values)).unwrap().maybe, None);
    let null = Row::new(names.into(), vec![Value::Integer(7), Value::Null]);
    assert!(shadowed::Row::from_row(&null).is_err());
}

#[test]
fn a_key_may_be_text_and_stand_under_another_name() {
    #[derive(Clone, ReadModel)]
    #[read_model(table = "_by_status")]
    struct ByStatus {
        count: u64,
        #[column(key, text, name = "status_text")]
        status: Status,
    }

    let row = ByStatus { count: 1, status: Status::Open };
    assert_eq!((ByStatus::KEY, row.key()), (&[1][..], Ok(RowKey::Text("OPEN".into()))));
    assert_eq!(ByStatus::COLUMNS[1].name, "status_text");
    assert_eq!(row.to_row().unwrap(), [Value::Integer(1), Value::Text("OPEN".into())]);
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
    assert_eq!((OrderRow::KEY, order.key()), (&[1][..], Ok(RowKey::Text("o-1".into()))));
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
        assert!(error.contains(column) && error.contains("text that does not fit"), "{error}");
    }
}

#[test]
fn a_key_of_several_columns_is_a_tuple_in_the_order_of_the_fields() {
    #[derive(Clone, ReadModel)]
    #[read_model(table = "turnover")]
    struct Turnover {
        #[column(key)]
        month: i64,
        cents: i64,
        #[column(key, text)]
        status: Status,
    }

    let row = Turnover { month: 7, cents: 1, status: Status::Open };
    let key = RowKey::Several(vec![RowKey::Integer(7), RowKey::Text("OPEN".into())]);
    assert_eq!((row.key(), Turnover::key_of((7, Status::Open))), (Ok(key.clone()), Ok(key)));
    assert!(Turnover::KEY == [0, 2] && Turnover::key_from_id("o-1").is_none());
    assert_eq!(row.cents, 1);
}

#[test]
fn a_key_that_is_text_is_made_of_an_id() {
    assert_eq!(OrderRow::key_from_id("o-1"), Some("o-1".to_owned()));
    assert_eq!(shadowed::Row::key_from_id("o-1"), None);
}

#[test]
fn conditions_on_columns_have_types_and_none_replaces_another() {
    let row = <OrderRow as factstream::read_model::ReadModel>::Columns::default();
    let condition = row.amount.ge(5).and(row.status.eq(Status::Open)).and(row.r#type.eq(None));
    let (sql, params) = condition.into_parts();
    assert_eq!(params, [Value::Integer(5), Value::Text("OPEN".into())]);
    for part in ["\"amount\" >= $1", "\"status\" = $2", "\"type\" IS NULL"] {
        assert!(sql.contains(part), "{part}: {sql}");
    }
    let (sql, params) = row.order_id.one_of(["a", "b"]).or(row.r#type.ne("x".to_owned())).into_parts();
    assert_eq!(params.len(), 3);
    assert!(sql.contains("$2") && sql.contains("IS DISTINCT FROM $3"), "{sql}");
    assert_eq!(row.order_id.one_of([""; 0]).sql(), "1 = 0");
}

/// Where nothing is called `factstream`.
mod renamed {
    use super::{Deserialize, Serialize};
    use factstream_core as ours;

    #[derive(factstream_macros::Event, Serialize, Deserialize)]
    #[event(crate = "ours", private)]
    pub(super) enum RenamedEvent {
        Happened {},
    }

    #[derive(factstream_macros::EventSet)]
    #[event_set(crate = "ours")]
    pub(super) enum Set {
        Renamed(RenamedEvent),
    }

    #[derive(Clone, factstream_macros::ReadModel)]
    #[read_model(table = "renamed", crate = "ours")]
    pub(super) struct Row {
        #[column(key)]
        pub(super) id: String,
    }
}

#[test]
fn the_framework_may_have_another_name() {
    let renamed::Set::Renamed(renamed::RenamedEvent::Happened {}) =
        renamed::Set::decode("RenamedHappened", "{}").unwrap().unwrap();
    assert_eq!(renamed::Row { id: "r".into() }.key(), Ok(RowKey::Text("r".into())));
}
