//! What serde alone is too kind about, for the structs that requests are read into.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// A struct from a JSON object. serde alone would also take an array of the fields' values.
#[derive(Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A whole number that fits, or an error that says between what it must lie.
pub(super) fn whole_number<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64> + Bounded,
{
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.as_u64().and_then(|whole| N::try_from(whole).ok());
    whole.ok_or_else(|| Error::custom(format!("{number} is not a whole number from 0 to {}", N::GREATEST)))
}

/// A type with a greatest number.
pub(super) trait Bounded {
    /// The greatest.
    const GREATEST: u64;
}

impl Bounded for u32 {
    const GREATEST: u64 = u32::MAX as u64;
}

impl Bounded for u64 {
    const GREATEST: u64 = u64::MAX;
}
