//! What is read of a request's context, from a store or a message: others wrote it, so what cannot be an actor or an attribute is left
//! where it is, and not read.

use crate::id::check_id;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most attributes of one context.
pub const ATTRIBUTES_MAX: usize = 32;

/// An actor as it is read from a store or a message; `None` where it could not be recorded again.
pub(crate) fn read_actor(text: &str) -> Option<String> {
    check_id("actor", text).is_ok().then(|| text.to_owned())
}

/// Attributes as they are read from a store or a message; those that could not be recorded again are left out.
pub(crate) fn read_attributes(value: Value) -> BTreeMap<String, String> {
    let Value::Object(fields) = value else { return BTreeMap::new() };
    let fit = fields.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) if check_id("name", &name).is_ok() && check_id("value", &text).is_ok() => {
            Some((name, text))
        }
        _ => None,
    });
    fit.take(ATTRIBUTES_MAX).collect()
}

/// For serde: metadata that others wrote may have anything of this name.
pub(crate) fn actor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(read_actor))
}

/// For serde, as [`actor`].
pub(crate) fn attributes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Value::deserialize(deserializer).map(read_attributes)
}
