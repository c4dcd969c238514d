//! What comes with a request: who asks, in which conversation and trace. It is recorded with the events that follow from it, goes
//! along in the headers of their messages, and is carried on to the commands and events that those cause.
//!
//! Invariant: what a caller gives is checked before anything is recorded; what is read (a store, other teams' messages) is never in
//! the way: what cannot be an actor or an attribute is left where it is, and not read.

mod json;

use crate::causes::Causes;
use crate::envelope::{Envelope, InvalidId, JsonText, Metadata, check_id};
pub use crate::read_context::ATTRIBUTES_MAX;
use std::collections::BTreeMap;

/// Who asks, in which conversation and trace, and what else is to be known about a request.
///
/// Give it to a command ([`context`](https://docs.rs/factstream/latest/factstream/struct.Execute.html#method.context)). Its events
/// carry it, so do the messages that are made of them, and handlers find it in their [`Envelope`]s. Commands and events that handlers
/// cause carry it on, with the causing event's id as their causation id.
///
/// Each text has 1 to 255 bytes and no control characters.
///
/// ```
/// use factstream_core::context::Context;
///
/// let context = Context::new()
///     .actor("user-7")
///     .correlation_id("request-42")
///     .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
///     .attribute("channel", "web");
/// assert!(context.check().is_ok());
/// assert!(Context::new().actor("two\nlines").check().is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Who asks: the id of a user or a service. An id and not a name, for events are kept.
    pub actor: Option<String>,
    /// The whole conversation; without one, a command begins a new one.
    pub correlation_id: Option<String>,
    /// What caused it: a request, a message of another system. Without one, it is the command itself.
    pub causation_id: Option<String>,
    /// The trace, as the W3C header `traceparent` has it.
    pub traceparent: Option<String>,
    /// What else is to be known: a channel, a campaign, a version of the client.
    pub attributes: BTreeMap<String, String>,
    /// The events that led to it, for consumers with causal order (G19). It is made by the framework, and carried on with the context.
    pub causes: Causes,
}

impl Context {
    /// A context that says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The context that an event was recorded in, as it reads there.
    pub fn of<E>(event: &Envelope<E>) -> Self {
        Self {
            actor: event.actor.clone(),
            correlation_id: event.correlation_id.clone(),
            causation_id: event.causation_id.clone(),
            traceparent: event.traceparent.clone(),
            attributes: event.attributes.clone(),
            causes: event.causes.clone(),
        }
    }

    /// The context that metadata was made of; the inverse of [`Context::metadata`].
    pub fn of_metadata(metadata: Metadata) -> Self {
        let Metadata { actor, correlation_id, causation_id, traceparent, attributes, causes, .. } = metadata;
        Self { actor, correlation_id, causation_id, traceparent, attributes, causes }
    }

    /// The context of what is done because of an event: its conversation, actor, trace and attributes, and the event as the cause.
    ///
    /// A handler's own transaction has it already, and so have commands that an external handler executes. This is for work that is handed on,
    /// to another task for example. Texts of other teams' messages that no context can have are left out.
    ///
    /// ```
    /// use factstream_core::context::Context;
    /// # use factstream_core::envelope::Envelope;
    /// # fn example(event: &Envelope<()>) {
    /// let context = Context::caused_by(event);
    /// assert_eq!(context.causation_id.as_ref(), Some(&event.event_id));
    /// # }
    /// ```
    pub fn caused_by<E>(event: &Envelope<E>) -> Self {
        let fit = |text: Option<String>| text.filter(|text| check_id("id", text).is_ok());
        let Self { actor, correlation_id, traceparent, attributes, .. } = Self::of(event);
        let causes = event.onward_causes();
        Self {
            actor: fit(actor),
            correlation_id: fit(correlation_id).or_else(|| Some(event.event_id.clone())),
            causation_id: Some(event.event_id.clone()),
            traceparent: traceparent.filter(|text| check_traceparent(text).is_ok()),
            attributes,
            causes,
        }
    }

    /// Who asks: the id of a user or a service.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// The conversation that it belongs to.
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// What caused it.
    pub fn causation_id(mut self, id: impl Into<String>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// The trace, as the W3C header `traceparent` has it.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// Something else that is to be known. The last value of a name counts.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// What is stored beside an event that `source` records in this context: for events that you append through a store's own port.
    pub fn metadata(&self, source: impl Into<String>) -> Metadata {
        Metadata {
            source: source.into(),
            correlation_id: self.correlation_id.clone(),
            causation_id: self.causation_id.clone(),
            topic: None,
            traceparent: self.traceparent.clone(),
            actor: self.actor.clone(),
            attributes: self.attributes.clone(),
            causes: self.causes.clone(),
        }
    }

    /// [`Context::metadata`] as JSON, with the topic that the event goes to.
    ///
    /// # Errors
    /// What serde_json reports.
    pub fn metadata_json(&self, source: &str, topic: Option<&str>) -> Result<JsonText, serde_json::Error> {
        Ok(JsonText::of_metadata_with(json::metadata(self, source, topic)?, topic))
    }

    /// Checks that it can be recorded and sent. Commands and transactions do so before anything else.
    ///
    /// # Errors
    /// [`InvalidContext`], which names the part and says what to do.
    pub fn check(&self) -> Result<(), InvalidContext> {
        let ids = [
            ("actor", &self.actor),
            ("correlation id", &self.correlation_id),
            ("causation id", &self.causation_id),
        ];
        for (what, id) in ids {
            id.as_deref().map_or(Ok(()), |id| check_id(what, id))?;
        }
        self.traceparent.as_deref().map_or(Ok(()), check_traceparent)?;
        if self.attributes.len() > ATTRIBUTES_MAX {
            return Err(InvalidContext::TooManyAttributes { count: self.attributes.len() });
        }
        for (name, value) in &self.attributes {
            check_id("name of an attribute", name)?;
            check_id("value of an attribute", value)?;
        }
        Ok(())
    }
}

/// Why a [`Context`] cannot be used. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidContext {
    /// A text that is empty, too long or holds a control character.
    #[error(transparent)]
    Text(#[from] InvalidId),
    /// A traceparent that W3C Trace Context does not know.
    #[error(
        "the traceparent {why}; pass the header of the request on as it came (00-, 32 hex digits of the trace, 16 of the parent, and flags, as in 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01), or leave it out to begin without a trace"
    )]
    Traceparent {
        /// What is wrong with it.
        why: &'static str,
    },
    /// More attributes than [`ATTRIBUTES_MAX`].
    #[error(
        "the context has {count} attributes; at most {ATTRIBUTES_MAX} are taken: put what belongs to the event into the event"
    )]
    TooManyAttributes {
        /// How many there are.
        count: usize,
    },
}

/// Checks the W3C header `traceparent`: version, trace, parent and flags in lower-case hexadecimal digits, neither id all zeros.
/// A later version than 00 may have more behind them.
///
/// ```
/// use factstream_core::context::check_traceparent;
///
/// assert!(check_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_ok());
/// assert!(check_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01").is_err());
/// ```
///
/// # Errors
/// [`InvalidContext::Traceparent`], which says what is wrong.
pub fn check_traceparent(text: &str) -> Result<(), InvalidContext> {
    check_id("traceparent", text)?;
    let refused = |why| Err(InvalidContext::Traceparent { why });
    let mut parts = text.split('-');
    let mut part = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (part(), part(), part(), part());
    let is_hex = |part: &str, digits| {
        part.len() == digits && part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !is_hex(version, 2) || version == "ff" {
        return refused("has no version of two lower-case hex digits");
    }
    if !is_hex(trace, 32) || !is_hex(parent, 16) || !is_hex(flags, 2) {
        return refused("has a part of the wrong length, or with a sign that is no lower-case hex digit");
    }
    if [trace, parent].iter().any(|id| id.bytes().all(|digit| digit == b'0')) {
        return refused("has an id of zeros only");
    }
    if version == "00" && parts.next().is_some() {
        return refused("has more parts than its version 00");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_what_w3c_says() {
        let later = |more: &str| TRACE.replacen("00-", "cc-", 1) + more;
        for good in [TRACE.to_owned(), later(""), later("-what-comes-later")] {
            assert_eq!(check_traceparent(&good), Ok(()), "{good}");
        }
        let zeros = |id: &str| TRACE.replace(id, &"0".repeat(id.len()));
        for bad in [
            "",
            "00",
            "00-0-0-0",
            &TRACE.to_uppercase(),
            &TRACE.replacen("00-", "ff-", 1),
            &TRACE.replace("b7", "g7"),
            &format!("{TRACE}-more"),
            &format!("{TRACE} "),
            &zeros("0af7651916cd43dd8448eb211c80319c"),
            &zeros("b7ad6b7169203331"),
        ] {
            let error = check_traceparent(bad).unwrap_err().to_string();
            assert!(error.contains("traceparent"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_context_that_cannot_be_recorded_names_its_part() {
        let long = "x".repeat(256);
        for (context, word) in [
            (Context::new().actor(""), "actor"),
            (Context::new().actor("a\0b"), "actor"),
            (Context::new().correlation_id(&long), "correlation id"),
            (Context::new().causation_id("a\nb"), "causation id"),
            (Context::new().traceparent("00-1-2-3"), "traceparent"),
            (Context::new().attribute("", "v"), "name of an attribute"),
            (Context::new().attribute("n", &long), "value of an attribute"),
        ] {
            let error = context.check().unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains(&long), "{error}");
        }
        let with =
            |count| (0..count).fold(Context::new(), |context, n| context.attribute(n.to_string(), "v"));
        assert_eq!(with(ATTRIBUTES_MAX).check(), Ok(()));
        assert_eq!(with(33).check(), Err(InvalidContext::TooManyAttributes { count: 33 }));
    }
}
