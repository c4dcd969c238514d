//! Each serde attribute: what the shape says, and that serde does so.

use super::catalogue::entry;
use crate as factstream;
use crate::schema::{
    Contract, Flaw, Node, Reading, Rest, Schema, Shape, Shapes, Written, flaws, json_schema, sample,
};
use factstream_macros::Shape;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

fn fields<T: Shape>() -> Vec<(String, Vec<String>, Written, Reading)> {
    let Node::Object { fields, .. } = Schema::of::<T>().shape else { panic!("an object") };
    fields.into_iter().map(|field| (field.name, field.read, field.written, field.reading)).collect()
}

#[test]
fn names_defaults_and_skips_are_those_of_serde() {
    #[derive(Shape, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Order {
        order_id: String,
        #[serde(rename = "TOTAL", alias = "sum", default)]
        total: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        the_note: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        items: Vec<u8>,
        #[serde(skip)]
        cache: (),
        r#type: Option<u8>,
        #[serde(rename(serialize = "w", deserialize = "r"))]
        apart: bool,
    }

    let of = |name: &str, read: &[&str], written, reading| {
        (name.to_owned(), read.iter().map(|&key| key.to_owned()).collect::<Vec<_>>(), written, reading)
    };
    assert_eq!(
        fields::<Order>(),
        [
            of("orderId", &[], Written::Always, Reading::Required),
            of("TOTAL", &["TOTAL", "sum"], Written::Always, Reading::Optional),
            of("theNote", &[], Written::UnlessNull, Reading::Optional),
            of("items", &[], Written::Sometimes, Reading::Optional),
            of("type", &[], Written::Always, Reading::Optional),
            of("w", &["r"], Written::Always, Reading::Required),
        ]
    );
}

#[test]
fn a_generic_type_and_one_within_itself_have_shapes() {
    #[derive(Shape)]
    struct Tree<T> {
        of: T,
        left: Option<Box<Tree<T>>>,
    }

    let schema = Schema::of::<(Tree<u8>, Tree<String>)>();
    assert_eq!(schema.types.keys().collect::<Vec<_>>(), ["Tree", "Tree2"]);
    let json = sample(&schema, Contract::Write, &mut |ways| ways - 1);
    assert_eq!(json[0]["left"]["of"], json!(255));
}

#[test]
fn what_is_written_by_hand_and_does_not_fit_its_shape_is_found() {
    /// Says that it is a number, and reads a text.
    #[derive(Serialize, Shape)]
    struct Wrong {
        number: u8,
    }
    impl<'de> Deserialize<'de> for Wrong {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            struct Text {
                number: String,
            }
            let Text { number } = Text::deserialize(deserializer)?;
            number.parse().map(|number| Self { number }).map_err(serde::de::Error::custom)
        }
    }
    let wrong = entry::<Wrong>();
    let found = flaws(&wrong.schema, |json| (wrong.rewrite)(json).map(drop));
    assert!(matches!(found.as_slice(), [Flaw::Refused { .. }]), "{found:?}");

    /// Says that it needs a field, and does not.
    #[derive(Serialize, Shape)]
    struct Lax {
        number: u8,
    }
    impl<'de> Deserialize<'de> for Lax {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            struct Maybe {
                number: Option<u8>,
            }
            Maybe::deserialize(deserializer).map(|read| Self { number: read.number.unwrap_or(7) })
        }
    }
    let lax = entry::<Lax>();
    let found = flaws(&lax.schema, |json| (lax.rewrite)(json).map(drop));
    assert_eq!(found, [Flaw::NotNeeded { field: "number".into() }]);

    /// Leaves out what it needs.
    #[derive(Serialize, Deserialize, Shape)]
    struct LeavesOut {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<u8>,
    }
    let leaves_out = entry::<LeavesOut>();
    let found = flaws(&leaves_out.schema, |json| (leaves_out.rewrite)(json).map(drop));
    assert!(found[0].to_string().contains("items: it is not always written"), "{}", found[0]);
}

#[test]
fn json_schema_says_the_same_in_its_own_words() {
    #[derive(Shape)]
    #[serde(deny_unknown_fields)]
    struct Item {
        sku: String,
        #[serde(default, alias = "count")]
        quantity: u8,
        at: Option<jiff::Timestamp>,
    }

    let schema = Schema::of::<Item>();
    assert_eq!(
        json_schema(&schema, Contract::Write),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "sku": { "type": "string" },
                "quantity": { "type": "integer", "minimum": 0, "maximum": 255 },
                "at": { "anyOf": [{ "type": "null" }, { "type": "string", "format": "date-time" }] }
            },
            "required": ["sku", "quantity", "at"],
            "additionalProperties": false
        })
    );
    let read = json_schema(&schema, Contract::Read);
    assert_eq!((&read["required"], &read["properties"]["count"]["maximum"]), (&json!(["sku"]), &json!(255)));
}

#[test]
fn a_shape_by_hand_stands_in_a_derived_one() {
    struct Iban;
    impl Shape for Iban {
        fn shape(_: &mut Shapes) -> Node {
            Node::format("iban")
        }
    }
    #[derive(Shape)]
    struct Account {
        iban: Iban,
        #[shape(any)]
        more: std::time::Instant,
    }
    let Node::Object { fields, rest: Rest::Ignored } = Schema::of::<Account>().shape else {
        panic!("an object")
    };
    assert_eq!((&fields[0].is, &fields[1].is), (&Node::format("iban"), &Node::Any));
}
