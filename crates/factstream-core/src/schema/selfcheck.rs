//! Whether a shape says the truth about its type: asked with serde itself.
//!
//! This finds a `Deserialize` written by hand under a derived shape, and a shape written by hand that is not what serde does.

use super::fits::{Reader, misfits};
use super::misfit::Misfit;
use super::node::{Node, Reading, Schema};
use super::sample::{Contract, is_known_format, sample};
use serde_json::Value;
use std::fmt;

/// What is wrong with a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// The type may write what it cannot read.
    NotReadBack(Misfit),
    /// A value that the shape says can be read is refused.
    Refused {
        /// The value.
        sample: String,
        /// Why.
        reason: String,
    },
    /// A field that the shape says is needed is not.
    NotNeeded {
        /// The field.
        field: String,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReadBack(misfit) => write!(f, "it cannot read what it writes: {misfit}"),
            Self::Refused { sample, reason } => {
                write!(f, "its shape says that {sample} can be read, and its type refuses it: {reason}")
            }
            Self::NotNeeded { field } => {
                write!(
                    f,
                    "its shape says that the field {field} is needed, and its type reads JSON without it"
                )
            }
        }
    }
}

/// Compares a schema with what its type reads. Types whose samples cannot be made up (formats of your own) are left out.
pub fn flaws(schema: &Schema, read: impl Fn(&str) -> Result<(), String>) -> Vec<Flaw> {
    let mut flaws: Vec<Flaw> =
        misfits(schema, schema, Reader::Factstream).into_iter().map(Flaw::NotReadBack).collect();
    if has_own_formats(schema) {
        return flaws;
    }
    let smallest = sample(schema, Contract::Read, &mut |_| 0);
    let fullest = sample(schema, Contract::Read, &mut |ways| ways - 1);
    for sample in [&smallest, &fullest] {
        if let Err(reason) = read(&sample.to_string()) {
            flaws.push(Flaw::Refused { sample: sample.to_string(), reason });
            return flaws;
        }
    }
    let (Value::Object(object), Node::Object { fields, .. }) = (&smallest, schema.resolve(&schema.shape))
    else {
        return flaws;
    };
    for field in fields.iter().filter(|field| field.reading == Reading::Required) {
        let mut without = object.clone();
        let had = field.keys_read().filter(|key| without.remove(*key).is_some()).count();
        if had > 0 && read(&Value::Object(without).to_string()).is_ok() {
            flaws.push(Flaw::NotNeeded { field: field.name.clone() });
        }
    }
    flaws
}

fn has_own_formats(schema: &Schema) -> bool {
    let has = |node: &Node| serde_json::to_value(node).is_ok_and(|json| mentions_own_format(&json));
    has(&schema.shape) || schema.types.values().any(has)
}

fn mentions_own_format(json: &Value) -> bool {
    match json {
        Value::Object(object) => {
            let own = object.get("type").is_some_and(|kind| kind == "string")
                && object
                    .get("format")
                    .and_then(Value::as_str)
                    .is_some_and(|format| !is_known_format(format));
            own || object.values().any(mentions_own_format)
        }
        Value::Array(list) => list.iter().any(mentions_own_format),
        _ => false,
    }
}
