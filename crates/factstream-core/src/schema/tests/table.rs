//! The compatibility table of docs/schema-evolution.md, row by row: what is stored and read by today's build, an older factstream
//! consumer on the wire, a foreign consumer of JSON. Rows about names, topics and versions stand with the gates.

use crate as factstream;
use crate::schema::{Level, Reader, Schema, Shape, misfits};
use factstream_macros::Shape;

/// What a column says: nothing, or how bad it is and where.
type Cell = Option<(Level, &'static str)>;

const OK: Cell = None;

fn breaks(at: &'static str) -> Cell {
    Some((Level::Break, at))
}

fn warns(at: &'static str) -> Cell {
    Some((Level::Warn, at))
}

#[track_caller]
fn row<Old: Shape, New: Shape>(stored: Cell, wire: Cell, foreign: Cell) {
    let (old, new) = (Schema::of::<Old>(), Schema::of::<New>());
    let worst = |writer: &Schema, reader: &Schema, by| {
        let found = misfits(writer, reader, by);
        let worst = found.iter().max_by_key(|misfit| misfit.level);
        worst.map(|misfit| (misfit.level, misfit.path.clone()))
    };
    let cell = |cell: Cell| cell.map(|(level, at)| (level, at.to_owned()));
    assert_eq!(worst(&old, &new, Reader::Factstream), cell(stored), "stored events");
    assert_eq!(worst(&new, &old, Reader::Factstream), cell(wire), "the wire");
    assert_eq!(worst(&new, &old, Reader::Foreign), cell(foreign), "a foreign consumer");
}

macro_rules! pair {
    ($old:tt => $new:tt) => {
        #[derive(Shape)]
        struct Old $old
        #[derive(Shape)]
        struct New $new
    };
}

#[test]
fn add_an_optional_or_defaulted_field() {
    pair!({ a: u8 } => { a: u8, b: Option<u8>, #[serde(default)] c: u8 });
    row::<Old, New>(OK, OK, OK);
}

#[test]
fn add_an_optional_field_to_a_nested_type_that_denies_unknown_fields() {
    #[derive(Shape)]
    #[serde(deny_unknown_fields)]
    struct Before {
        a: u8,
    }
    #[derive(Shape)]
    #[serde(deny_unknown_fields)]
    struct After {
        a: u8,
        b: Option<u8>,
    }
    pair!({ item: Before } => { item: After });
    row::<Old, New>(OK, breaks("item.b"), OK);
}

#[test]
fn add_a_required_field() {
    pair!({ a: u8 } => { a: u8, b: u8 });
    row::<Old, New>(breaks("b"), OK, OK);
}

#[test]
fn remove_a_required_field() {
    pair!({ a: u8, b: u8 } => { a: u8 });
    row::<Old, New>(OK, breaks("b"), breaks("b"));
}

#[test]
fn remove_an_optional_field() {
    pair!({ a: u8, #[serde(skip_serializing_if = "Option::is_none")] b: Option<u8> } => { a: u8 });
    row::<Old, New>(OK, OK, OK);
}

#[test]
fn remove_a_field_from_a_type_that_denies_unknown_fields() {
    #[derive(Shape)]
    struct Old {
        a: u8,
        b: u8,
    }
    #[derive(Shape)]
    #[serde(deny_unknown_fields)]
    struct New {
        a: u8,
    }
    row::<Old, New>(breaks("b"), breaks("b"), breaks("b"));
}

#[test]
fn rename_a_field_with_alias() {
    pair!({ a: u8 } => { #[serde(alias = "a")] b: u8 });
    row::<Old, New>(OK, breaks("a"), breaks("a"));
}

#[test]
fn rename_a_field_without_alias() {
    pair!({ a: u8 } => { b: u8 });
    row::<Old, New>(breaks("b"), breaks("a"), breaks("a"));
}

#[test]
fn make_an_optional_field_required_and_a_required_one_optional() {
    pair!({ a: Option<u8> } => { a: u8 });
    row::<Old, New>(breaks("a"), OK, OK);
    row::<New, Old>(OK, breaks("a"), breaks("a"));
}

#[test]
fn widen_an_integer() {
    pair!({ a: u8 } => { a: u32 });
    row::<Old, New>(OK, breaks("a"), OK);
}

#[test]
fn widen_an_integer_beyond_what_json_readers_hold() {
    pair!({ a: u32 } => { a: u64 });
    row::<Old, New>(OK, breaks("a"), warns("a"));
}

/// An older consumer reads the smaller numbers: serde says so, and so does the comparison.
#[test]
fn narrow_an_integer() {
    pair!({ a: u64 } => { a: u32 });
    row::<Old, New>(breaks("a"), OK, OK);
}

#[test]
fn change_a_type() {
    pair!({ a: u8 } => { a: String });
    row::<Old, New>(breaks("a"), breaks("a"), breaks("a"));
}

#[test]
fn change_a_format() {
    pair!({ at: jiff::Timestamp } => { at: jiff::civil::Date });
    row::<Old, New>(breaks("at"), breaks("at"), breaks("at"));
}

#[test]
fn take_a_text_of_a_format_as_any_text() {
    pair!({ id: uuid::Uuid } => { id: String });
    row::<Old, New>(OK, breaks("id"), breaks("id"));
}

#[test]
fn one_value_becomes_a_list_and_a_list_gets_a_length() {
    pair!({ a: u8 } => { a: Vec<u8> });
    row::<Old, New>(breaks("a"), breaks("a"), breaks("a"));
    #[derive(Shape)]
    struct Two {
        a: [u8; 2],
    }
    row::<New, Two>(breaks("a"), OK, OK);
}

#[derive(Shape)]
enum Reason {
    Stocked,
    Reserved { order: String },
}

#[derive(Shape)]
enum MoreReasons {
    Stocked,
    Reserved { order: String },
    Lost,
}

#[test]
fn add_a_variant_to_a_nested_enum() {
    pair!({ why: Vec<Reason> } => { why: Vec<MoreReasons> });
    row::<Old, New>(OK, breaks("why[]"), warns("why[]"));
}

#[test]
fn remove_a_variant() {
    pair!({ why: MoreReasons } => { why: Reason });
    row::<Old, New>(breaks("why"), OK, OK);
}

#[test]
fn a_variant_for_others_takes_what_is_added() {
    #[derive(Shape)]
    enum Patient {
        Stocked,
        #[serde(other)]
        Else,
    }
    #[derive(Shape)]
    enum More {
        Stocked,
        Lost,
    }
    pair!({ why: Patient } => { why: More });
    // `Else` itself may have been written, and is no variant of the new enum.
    row::<Old, New>(breaks("why"), OK, warns("why"));
}

#[test]
fn a_change_within_a_variant_says_where() {
    #[derive(Shape)]
    enum Stricter {
        Stocked,
        Reserved { order: String, by: String },
    }
    pair!({ why: Reason } => { why: Stricter });
    row::<Old, New>(breaks("why.Reserved.by"), OK, OK);
}

#[test]
fn the_keys_of_a_map_become_fields_and_fields_keys() {
    pair!({ a: std::collections::BTreeMap<String, u8> } => { a: One });
    row::<Old, New>(breaks("a.x"), OK, OK);

    #[derive(Shape)]
    struct One {
        x: u8,
    }
}
