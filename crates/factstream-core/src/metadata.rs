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

/// [`Metadata`] that is borrowed, on its way into the store.
pub(crate) struct MetadataRef<'a> {
    pub(crate) source: &'a str,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) causation_id: Option<&'a str>,
    pub(crate) topic: Option<&'a str>,
    pub(crate) traceparent: Option<&'a str>,
    pub(crate) actor: Option<&'a str>,
    pub(crate) attributes: &'a BTreeMap<String, String>,
    pub(crate) causes: &'a Causes,
}

impl<'a> From<&'a Metadata> for MetadataRef<'a> {
    fn from(metadata: &'a Metadata) -> Self {
        Self {
            source: &metadata.source,
            correlation_id: metadata.correlation_id.as_deref(),
            causation_id: metadata.causation_id.as_deref(),
            topic: metadata.topic.as_deref(),
            traceparent: metadata.traceparent.as_deref(),
            actor: metadata.actor.as_deref(),
            attributes: &metadata.attributes,
            causes: &metadata.causes,
        }
    }
}

impl MetadataRef<'_> {
    /// As serde_json writes a [`Metadata`], in a third of the steps: each event pays for them.
    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        let texts = [
            ("correlation_id", self.correlation_id),
            ("causation_id", self.causation_id),
            ("topic", self.topic),
            ("traceparent", self.traceparent),
            ("actor", self.actor),
        ];
        let mut json = String::with_capacity(512);
        json.push_str("{\"source\":");
        push_text(&mut json, self.source)?;
        for (name, text) in texts {
            if let Some(text) = text {
                push_name(&mut json, name);
                push_text(&mut json, text)?;
            }
        }
        if !self.attributes.is_empty() {
            push_name(&mut json, "attributes");
            json.push_str(&serde_json::to_string(self.attributes)?);
        }
        if !self.causes.is_empty() {
            push_name(&mut json, "causes");
            json.push_str(&serde_json::to_string(self.causes)?);
        }
        json.push('}');
        Ok(json)
    }
}

fn push_name(json: &mut String, name: &str) {
    json.push_str(",\"");
    json.push_str(name);
    json.push_str("\":");
}

fn push_text(json: &mut String, text: &str) -> Result<(), serde_json::Error> {
    let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if is_plain {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_serde_json_writes_it_and_reads_back() {
        let texts = ["", "shop", "a \"quoted\" \\ text", "two\nlines\u{1}\u{7f}", "Zürich 😀", "\u{2028}"];
        for text in texts {
            let some = Some(text.to_owned());
            let attributes = BTreeMap::from([("name".to_owned(), text.to_owned())]);
            for metadata in [
                Metadata { source: text.into(), ..Metadata::default() },
                Metadata { correlation_id: some.clone(), topic: some.clone(), ..Metadata::default() },
                Metadata {
                    source: text.into(),
                    correlation_id: some.clone(),
                    causation_id: some.clone(),
                    topic: some.clone(),
                    traceparent: some.clone(),
                    actor: some,
                    attributes,
                    causes: Causes::default().and("1", "OrderPlaced", "orders.events"),
                },
            ] {
                let json = MetadataRef::from(&metadata).json().unwrap();
                assert_eq!(json, serde_json::to_string(&metadata).unwrap());
            }
        }
    }
}
