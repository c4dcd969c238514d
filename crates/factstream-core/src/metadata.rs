//! What is kept beside an event's own fields.

use crate::causes::Causes;
use crate::read_context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is kept beside an event's own fields, as the JSON text of the `metadata` column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Metadata {
    /// The service that recorded it.
    #[serde(default)]
    pub source: String,
    /// The whole conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The event or command that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The topic it goes to, fixed when it is recorded, so that the relay needs no registry; `None` stays home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// W3C trace context, when a trace was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_context::actor")]
    pub actor: Option<String>,
    /// What else came with the request.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "read_context::attributes"
    )]
    pub attributes: BTreeMap<String, String>,
    /// Its newest public causes.
    #[serde(default, skip_serializing_if = "Causes::is_empty")]
    pub causes: Causes,
}
