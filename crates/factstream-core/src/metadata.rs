//! What is kept beside an event's own fields, and its JSON.

use crate::causes::Causes;
use crate::id::is_topic;
use crate::read_context;
use crate::size::Size;
use crate::variant::written;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

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

/// The JSON text of an event's metadata: written from [`Metadata`], or by somebody else. A store reads the latter before it takes it.
///
/// ```
/// use factstream_core::envelope::{Metadata, MetadataJson};
///
/// let metadata = Metadata { source: "shop".into(), ..Metadata::default() };
/// assert_eq!(*MetadataJson::of(&metadata)?, *r#"{"source":"shop"}"#);
/// assert_eq!(MetadataJson::of(&metadata)?, MetadataJson::from(r#"{"source":"shop"}"#));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct MetadataJson {
    text: String,
    is_recordable: bool,
}

impl MetadataJson {
    /// Writes it.
    ///
    /// # Errors
    /// What serde_json reports.
    pub fn of(metadata: &Metadata) -> Result<Self, serde_json::Error> {
        let is_recordable = metadata.topic.as_deref().is_none_or(is_topic);
        Ok(Self { text: written(metadata)?, is_recordable })
    }

    /// Whether every reader can read it and its topic is one.
    pub(crate) fn is_recordable(&self) -> bool {
        self.is_recordable
    }
}

impl From<String> for MetadataJson {
    fn from(text: String) -> Self {
        Self { text, is_recordable: false }
    }
}

impl From<&str> for MetadataJson {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Deref for MetadataJson {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// Without its content, which may be personal.
impl fmt::Debug for MetadataJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size::of(&self.text).fmt(f)
    }
}

impl PartialEq for MetadataJson {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for MetadataJson {}
