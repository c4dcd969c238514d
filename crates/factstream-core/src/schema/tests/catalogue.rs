//! Types of every kind: each serde attribute, each built-in type, beside changed twins of themselves.

use crate as factstream;
use crate::schema::{Schema, Shape};
use factstream_macros::Shape;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A type, as far as JSON is concerned.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) schema: Schema,
    pub(super) read: fn(&str) -> Result<(), String>,
    /// Reads JSON and writes it again.
    pub(super) rewrite: fn(&str) -> Result<Value, String>,
}

pub(super) fn entry<T: Shape + Serialize + DeserializeOwned>() -> Entry {
    let rewrite = |json: &str| {
        let value: T = serde_json::from_str(json).map_err(|error| error.to_string())?;
        serde_json::to_value(value).map_err(|error| error.to_string())
    };
    let read = |json: &str| serde_json::from_str::<T>(json).map(drop).map_err(|error| error.to_string());
    Entry { read, name: std::any::type_name::<T>(), schema: Schema::of::<T>(), rewrite }
}

macro_rules! types {
    ($($(#[$attribute:meta])* $kind:ident $name:ident $body:tt)*) => {
        $(
            #[derive(Serialize, Deserialize, Shape)]
            #[allow(dead_code)]
            $(#[$attribute])*
            $kind $name $body
        )*

        pub(super) fn declared() -> Vec<Entry> {
            vec![entry::<UnitLike>(), entry::<Pair>(), $(entry::<$name>()),*]
        }
    };
}

#[derive(Serialize, Deserialize, Shape, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Unit {
    First,
    #[serde(alias = "second", alias = "2")]
    SecondOne,
}

#[derive(Serialize, Deserialize, Shape)]
pub(super) struct Newtype(u16);

#[derive(Serialize, Deserialize, Shape)]
#[serde(transparent)]
struct Transparent {
    inner: Option<u16>,
}

#[derive(Serialize, Deserialize, Shape)]
struct OptionalNewtype(Option<u16>);

#[derive(Serialize, Deserialize, Shape, Clone)]
#[serde(from = "String", into = "String")]
struct ThroughText(String);

impl From<String> for ThroughText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<ThroughText> for String {
    fn from(text: ThroughText) -> Self {
        text.0
    }
}

#[derive(Serialize, Deserialize, Shape)]
#[serde(default, rename_all = "kebab-case")]
#[derive(Default)]
struct AllDefault {
    one_word: u8,
    other: Option<String>,
}

#[derive(Serialize, Deserialize, Shape)]
struct UnitLike;

#[derive(Serialize, Deserialize, Shape)]
struct Pair(u8, String);

#[derive(Serialize, Deserialize, Shape)]
struct Generic<T> {
    of: T,
}

mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(super) fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.len().try_into().map_err(D::Error::custom)
    }
}

types! {
    struct Empty {}
    struct One { a: u8 }
    struct OneWide { a: u64 }
    struct OneSigned { a: i16 }
    struct OneText { a: String }
    struct OneFloat { a: f64 }
    struct OneSmallFloat { a: f32 }
    struct OneOption { a: Option<u8> }
    struct OneDefault { #[serde(default)] a: u8 }
    struct OneSkipped { #[serde(default, skip_serializing_if = "Option::is_none")] a: Option<u8> }
    struct OneZeroSkipped { #[serde(default, skip_serializing_if = "is_zero")] a: u8 }
    struct OneAlias { #[serde(alias = "a")] b: u8 }
    struct OneRename { #[serde(rename = "a")] b: u8 }
    struct OneRenameApart { #[serde(rename(serialize = "a", deserialize = "b"))] c: u8 }
    struct OneOnlyRead { #[serde(skip_serializing)] a: u8 }
    struct OneOnlyWritten { #[serde(skip_deserializing)] a: u8 }
    struct OneOut { #[serde(skip)] a: u8, b: bool }
    struct OneWith { #[serde(with = "as_text")] #[shape(as = "String")] a: u32 }
    struct OneAny { a: Value }
    struct OneNonZero { a: std::num::NonZeroI8 }
    #[serde(deny_unknown_fields)]
    struct Strict { a: u8 }
    #[serde(deny_unknown_fields)]
    struct StrictTwo { a: u8, #[serde(default)] b: Option<u8> }
    struct Two { a: u8, b: bool }
    struct TwoOptional { a: u8, #[serde(default)] b: Option<bool> }
    struct Flattened { a: u8, #[serde(flatten)] rest: BTreeMap<String, Value> }
    struct FlattenedNumbers { #[serde(flatten)] rest: BTreeMap<String, u8> }
    struct FlattenedStruct { #[serde(flatten)] of: One, b: bool }
    struct FlattenedOption { #[serde(flatten)] of: Option<One>, b: bool }
    struct FlattenedEnum { #[serde(flatten)] of: Tagged, c: bool }
    struct Inner { of: One, list: Vec<One>, #[serde(default)] more: Option<OneOption> }
    struct InnerWide { of: OneWide, list: Vec<OneWide> }
    struct InnerStrict { of: Strict }
    struct InnerTwo { of: Two }
    struct Words { of: Unit, set: BTreeSet<Unit>, by: BTreeMap<Unit, u8> }
    struct Kinds { of: External }
    struct Lists { a: Vec<u8>, b: [u8; 2], c: (u8, String) }
    struct ListsOther { a: Vec<u16>, b: Vec<u8>, c: (u8, String) }
    struct Maps { by: BTreeMap<String, u8>, numbers: BTreeMap<u8, bool> }
    struct Wrapped { of: Newtype, #[serde(default)] text: Option<ThroughText> }
    struct WrappedTransparent { a: Transparent }
    struct WrappedOption { a: OptionalNewtype }
    struct Boxed { a: Box<Option<u8>>, b: Box<str> }
    struct Generics { a: Generic<u8>, b: Generic<Vec<String>> }
    struct Defaults { of: AllDefault }
    struct Times { at: jiff::Timestamp, day: jiff::civil::Date, id: uuid::Uuid, span: std::time::Duration, sign: char }
    struct TimesAsText { at: String, day: String, id: String, sign: String }
    struct Tree { value: u8, branches: Vec<Tree> }
    struct TreeWide { value: u16, branches: Vec<TreeWide> }
    struct TreeOption { value: u8, #[serde(default)] note: Option<String>, branches: Vec<TreeOption> }
    #[serde(tag = "kind")]
    struct TaggedStruct { a: u8 }

    enum External { Nothing, One(u8), Two(u8, String), Named { a: u8 } }
    enum ExternalMore { Nothing, One(u8), Two(u8, String), Named { a: u8 }, More }
    enum ExternalWide { Nothing, One(u16), Two(u8, String), Named { a: u8, #[serde(default)] b: u8 } }
    #[serde(rename_all = "snake_case", rename_all_fields = "camelCase")]
    enum ExternalRenamed { NothingAtAll, NamedOne { field_name: u8 } }
    #[serde(deny_unknown_fields)]
    enum ExternalStrict { Nothing, One(u8), Named { a: u8 } }
    enum UnitOther { First, #[serde(other)] Else }
    enum UnitOtherMixed { First, Num(u8), #[serde(other)] Else }
    enum UnitsOnly { First, Second, Third }
    enum UnitsFewer { First, Second }
    enum UnitsApart { First, #[serde(skip_serializing)] Second, #[serde(skip_deserializing)] Third }
    #[serde(tag = "kind")]
    enum Tagged { Nothing, Of(One), Named { b: bool } }
    #[serde(tag = "kind")]
    enum TaggedMore { Nothing, Of(TwoOptional), Named { b: bool }, More { c: u8 } }
    #[serde(tag = "kind")]
    enum TaggedOther { Nothing, Of(OneText), #[serde(other)] Else }
    #[serde(tag = "kind", deny_unknown_fields)]
    enum TaggedStrict { Nothing, Named { b: bool } }
    #[serde(tag = "kind", content = "of")]
    enum Adjacent { Nothing, Of(One), Named { b: bool }, Two(u8, u8) }
    #[serde(tag = "kind", content = "of")]
    enum AdjacentMore { Nothing, Of(OneDefault), Named { b: Option<bool> }, Two(u8, u8), More }
    #[serde(tag = "kind", content = "of", deny_unknown_fields)]
    enum AdjacentStrict { Nothing, Of(One) }
    #[serde(untagged)]
    enum Untagged { Number(u8), Text(String), Object { a: u8 }, Nothing }
    #[serde(untagged)]
    enum UntaggedMore { Number(u16), Flag(bool), Text(String), Object { a: u8, #[serde(default)] b: u8 }, Nothing }
    enum Nested { Of(External), In { of: Tagged, list: Vec<Untagged> } }
    enum PartlyUntagged { Named { a: u8 }, #[serde(untagged)] Else(String) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// Every kind of value as a field, in every way in which a field can be.
macro_rules! grid {
    ($($name:ident: $type:ty,)*) => {
        $(mod $name {
            use super::*;
            #[derive(Serialize, Deserialize, Shape)]
            pub(super) struct Plain { x: $type }
            #[derive(Serialize, Deserialize, Shape)]
            pub(super) struct Defaulted { #[serde(default)] x: Option<$type> }
            #[derive(Serialize, Deserialize, Shape)]
            pub(super) struct Listed { x: Vec<$type> }
            #[derive(Serialize, Deserialize, Shape)]
            #[serde(tag = "t", rename_all = "lowercase")]
            pub(super) enum InTagged { A { x: $type }, B }
            #[derive(Serialize, Deserialize, Shape)]
            #[serde(untagged)]
            pub(super) enum InUntagged { A { y: bool }, B { x: $type }, C($type) }
        })*

        pub(super) fn grid() -> Vec<Entry> {
            let mut all = Vec::new();
            $(all.extend([
                entry::<$name::Plain>(), entry::<$name::Defaulted>(), entry::<$name::Listed>(), entry::<$name::InTagged>(),
                entry::<$name::InUntagged>(),
            ]);)*
            all
        }
    };
}

grid! {
    a_u8: u8, a_u32: u32, a_i64: i64, a_u64: u64, a_f64: f64, a_bool: bool, a_string: String, a_char: char, an_option: Option<u8>,
    a_uuid: uuid::Uuid, a_unit: Unit, a_list: Vec<u8>, an_array: [u8; 2], a_pair: (u8, bool), a_map: BTreeMap<String, u8>,
    a_struct: One, a_strict: Strict, an_enum: External, a_value: Value, a_tagged: Tagged,
}

pub(super) fn all() -> Vec<Entry> {
    let mut all = declared();
    all.extend(grid());
    all
}
