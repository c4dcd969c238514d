//! JSON text on its way into the store, and whether it has to be read before it is taken.

use crate::id::is_topic;
use crate::metadata::Metadata;
use crate::size::Size;
use serde::Serialize;
use std::fmt;
use std::ops::Deref;

/// The JSON text of an event's data or metadata: written here, or by somebody else. A store reads the latter before it takes it.
///
/// ```
/// use factstream_core::envelope::{JsonText, Metadata};
///
/// let metadata = Metadata { source: "shop".into(), ..Metadata::default() };
/// assert_eq!(JsonText::of_metadata(&metadata)?, r#"{"source":"shop"}"#);
/// assert_eq!(JsonText::of_metadata(&metadata)?, JsonText::from(r#"{"source":"shop"}"#));
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct JsonText {
    text: String,
    is_recordable: bool,
}

impl JsonText {
    /// Writes an event's metadata.
    ///
    /// # Errors
    /// What serde_json reports.
    pub fn of_metadata(metadata: &Metadata) -> Result<Self, serde_json::Error> {
        Ok(Self::of_metadata_with(written(metadata)?, metadata.topic.as_deref()))
    }

    /// Metadata, an object as serde_json writes it, with this topic in it.
    pub(crate) fn of_metadata_with(text: String, topic: Option<&str>) -> Self {
        Self { text, is_recordable: topic.is_none_or(is_topic) }
    }

    /// The content of an event, an object as serde_json wrote it.
    pub(crate) fn of_content(text: String) -> Self {
        Self { text, is_recordable: true }
    }

    /// Whether every reader can read it, and a topic that it names is one.
    pub(crate) fn is_recordable(&self) -> bool {
        self.is_recordable
    }
}

/// JSON text. Most events and their metadata fit into what it begins with.
pub(crate) fn written<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut json = Vec::with_capacity(512);
    serde_json::to_writer(&mut json, value)?;
    String::from_utf8(json).map_err(|_| serde::ser::Error::custom("it is not text"))
}

impl From<String> for JsonText {
    fn from(text: String) -> Self {
        Self { text, is_recordable: false }
    }
}

impl From<&str> for JsonText {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<JsonText> for String {
    fn from(json: JsonText) -> Self {
        json.text
    }
}

impl Deref for JsonText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Without its content, which may be personal.
impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size::of(&self.text).fmt(f)
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JsonText {}

impl PartialEq<JsonText> for String {
    fn eq(&self, other: &JsonText) -> bool {
        *self == other.text
    }
}

impl PartialEq<&str> for JsonText {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}
