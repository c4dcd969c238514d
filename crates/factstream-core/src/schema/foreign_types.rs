//! Shapes of the types of other crates that stand in events most: uuid, jiff and `serde_json`.

use super::node::Node;
use super::shape::{Shape, Shapes};

macro_rules! formats {
    ($($type:ty => $format:literal,)*) => {$(
        impl Shape for $type {
            fn shape(_: &mut Shapes) -> Node {
                Node::format($format)
            }
        }
    )*};
}

formats! {
    uuid::Uuid => "uuid",
    jiff::Timestamp => "timestamp",
    jiff::civil::Date => "date",
    jiff::civil::Time => "time",
    jiff::civil::DateTime => "date-time",
    jiff::civil::ISOWeekDate => "iso-week-date",
    jiff::ZonedDateTime => "zoned",
    jiff::Span => "span",
    jiff::SignedDuration => "signed-duration",
}

macro_rules! any {
    ($($type:ty)*) => {$(
        impl Shape for $type {
            fn shape(_: &mut Shapes) -> Node {
                Node::Any
            }
        }
    )*};
}

any! { serde_json::Value serde_json::value::RawValue }

impl Shape for serde_json::Map<String, serde_json::Value> {
    fn shape(_: &mut Shapes) -> Node {
        Node::map(Node::text(), Node::Any)
    }
}

/// A number of any size. What it holds beyond an `f64` is not checked.
impl Shape for serde_json::Number {
    fn shape(_: &mut Shapes) -> Node {
        Node::Float { bits: 64 }
    }
}
