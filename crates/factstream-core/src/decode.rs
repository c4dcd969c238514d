//! Stored JSON to typed events: the one place where events are decoded, and where old schema versions are lifted.
//!
//! Invariants: upcasters go one step (version n to n+1) at a time, JSON to JSON; the chain of every known type is
//! checked when the application starts ([`Upcasters::decoder`]), so a missing step is found before the first event.

mod errors;
mod origin;
mod upcasters;

pub use crate::content_error::{ContentError, read_json};
use crate::digits::{Spellings, has_reals};
use crate::envelope::{Envelope, RecordedEvent};
use crate::event::EventSet;
pub use errors::{DecodeError, WiringError};
pub use origin::EventOrigin;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use upcasters::Lift;
pub use upcasters::{UpcastFailure, Upcasters};

/// Decodes events of every known type, whatever schema version they were written in, and by whichever of its names.
#[derive(Clone)]
pub struct Decoder {
    /// By today's name and by those before.
    types: HashMap<String, Arc<KnownType>>,
    dropped: HashSet<String>,
}

struct KnownType {
    name: &'static str,
    version: u32,
    since: u32,
    was: &'static [&'static str],
    former_name: Option<&'static str>,
    steps: Vec<Lift>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("types", &self.types.keys()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// The event, lifted to the current schema version. Upcasters that ask for the event's origin are given an empty one: what is stored or
    /// was received is decoded by [`Decoder::decode_recorded`] or [`Decoder::decode_envelope`].
    ///
    /// # Errors
    /// [`DecodeError`]; the caller keeps the bytes, nothing is lost (G12).
    pub fn decode<S: EventSet>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &str,
    ) -> Result<S, DecodeError> {
        self.decode_of(event_type, schema_version, json, &EventOrigin::default)
    }

    /// An event of the log.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode_recorded<S: EventSet>(&self, event: &RecordedEvent) -> Result<S, DecodeError> {
        let origin = || EventOrigin::of(event);
        self.decode_of(&event.event_type, event.schema_version, &event.data, &origin)
    }

    /// An event in its envelope, with its JSON.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode_envelope<S: EventSet>(
        &self,
        envelope: &Envelope<()>,
        json: &str,
    ) -> Result<S, DecodeError> {
        let origin = || EventOrigin::of_envelope(envelope);
        self.decode_of(&envelope.event_type, envelope.schema_version, json, &origin)
    }

    fn decode_of<S: EventSet>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &str,
        origin: &dyn Fn() -> EventOrigin,
    ) -> Result<S, DecodeError> {
        let known = self.known(event_type)?;
        let lifted = known.lift(event_type, schema_version, json, origin)?;
        match S::decode(known.name, &lifted) {
            Some(decoded) => decoded.map_err(|reason| DecodeError::Content {
                event_type: event_type.to_owned(),
                schema_version,
                reason,
            }),
            None => Err(DecodeError::UnknownType { event_type: event_type.to_owned() }),
        }
    }

    /// Whether events of this type are passed over ([`Upcasters::drop`]).
    pub fn drops(&self, event_type: &str) -> bool {
        !self.dropped.is_empty() && self.dropped.contains(event_type)
    }

    fn known(&self, event_type: &str) -> Result<&KnownType, DecodeError> {
        self.types.get(event_type).map(AsRef::as_ref).ok_or_else(|| self.unknown(event_type))
    }

    #[cold]
    fn unknown(&self, event_type: &str) -> DecodeError {
        let event_type = event_type.to_owned();
        let renamed = self.types.values().find(|known| known.former_name == Some(&event_type));
        match renamed {
            Some(known) => DecodeError::Renamed { event_type, now: known.name.to_owned() },
            None => DecodeError::UnknownType { event_type },
        }
    }

    /// The JSON of the current schema version. Upcasters are given an empty origin.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn lift<'j>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &'j str,
    ) -> Result<Cow<'j, str>, DecodeError> {
        self.lift_from(event_type, schema_version, json, &EventOrigin::default)
    }

    /// As [`Decoder::lift`], with the event's origin.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn lift_from<'j>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &'j str,
        origin: &dyn Fn() -> EventOrigin,
    ) -> Result<Cow<'j, str>, DecodeError> {
        self.known(event_type)?.lift(event_type, schema_version, json, origin)
    }
}

impl KnownType {
    fn lift<'j>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &'j str,
        origin: &dyn Fn() -> EventOrigin,
    ) -> Result<Cow<'j, str>, DecodeError> {
        if schema_version == self.version {
            return Ok(Cow::Borrowed(json));
        }
        if schema_version > self.version || schema_version < self.since {
            return Err(DecodeError::UnknownVersion {
                event_type: event_type.to_owned(),
                schema_version,
                since: self.since,
                version: self.version,
            });
        }
        let content = |error: serde_json::Error| DecodeError::Content {
            event_type: event_type.to_owned(),
            schema_version,
            reason: error.into(),
        };
        // An upcaster may rely on an object: what sets a field of anything else panics.
        let mut value = serde_json::from_str(json).map(Value::Object).map_err(content)?;
        let mut known_origin = None;
        let first = (schema_version - self.since) as usize;
        for (from, lift) in (schema_version..).zip(&self.steps[first..]) {
            let lifted = lift.run(value, || known_origin.get_or_insert_with(origin));
            value = lifted.map_err(|reason| DecodeError::Upcast {
                event_type: event_type.to_owned(),
                from,
                to: from + 1,
                reason,
            })?;
        }
        let written = match has_reals(&value) {
            true => Spellings::of(json).write(&value),
            false => serde_json::to_string(&value),
        };
        written.map(Cow::Owned).map_err(content)
    }
}

#[cfg(test)]
mod tests;
