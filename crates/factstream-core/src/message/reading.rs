//! A record read as an event: by our own headers and its value.

use super::identity::{Identified, is_ours};
use super::own_fields::own_fields;
use super::texts::Texts;
use super::unreadable::Unreadable;
use super::{LOG, Record, time};
use crate::envelope::{Envelope, check_id};
use jiff::Timestamp;
use std::borrow::Cow;

impl Record {
    /// The envelope and the JSON text of the event's own fields: of an event that a factstream store has published, as they were
    /// recorded; of any other, all of the value.
    ///
    /// # Errors
    /// [`Unreadable`]: the record becomes a dead letter, bytes intact (G12).
    pub fn envelope(&self) -> Result<Envelope<Cow<'_, str>>, Unreadable> {
        self.envelope_known_as(None)
    }

    /// As [`Record::envelope`], of a record that is kept under this identity already.
    ///
    /// # Errors
    /// As [`Record::envelope`].
    pub fn envelope_known_as(&self, kept: Option<&str>) -> Result<Envelope<Cow<'_, str>>, Unreadable> {
        let headers = Texts::of(&self.headers)?;
        let event_type = headers.text("event_type").ok_or(Unreadable::NoHeader { header: "event_type" })?;
        if check_id("event_type", event_type).is_err() {
            return Err(Unreadable::BadHeader { header: "event_type" });
        }
        let value = self.value.as_deref().ok_or(Unreadable::NoValue)?;
        let event = std::str::from_utf8(value).map_err(|_| Unreadable::NotUtf8)?;
        let event_id = headers.text("event_id");
        if event_id.is_some_and(|id| check_id("event_id", id).is_err()) {
            return Err(Unreadable::BadHeader { header: "event_id" });
        }
        let timestamp = match headers.text("timestamp") {
            Some(text) => time::parse(text).ok_or(Unreadable::BadHeader { header: "timestamp" })?,
            None => self.timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let position = headers.number("position")?;
        let is_ours = is_ours(event_id, position);
        let aggregate_id = self.aggregate_id(is_ours)?;
        let own = match is_ours && self.partition.topic != LOG {
            true => own_fields(event, &aggregate_id),
            false => None,
        };
        let owned = |name| headers.text(name).map(str::to_owned);
        let source = owned("source").unwrap_or_default();
        let Identified { event_id, scoped_id } = self.identified(owned("event_id"), &source, is_ours, kept);
        Ok(Envelope {
            event: own.map_or(Cow::Borrowed(event), Cow::Owned),
            event_id,
            scoped_id,
            event_type: event_type.to_owned(),
            schema_version: headers.number("schema_version")?.unwrap_or(1),
            aggregate_id,
            aggregate_type: owned("aggregate_type"),
            version: headers.number("aggregate_version")?,
            position,
            timestamp,
            source,
            correlation_id: owned("correlation_id"),
            causation_id: owned("causation_id"),
            traceparent: owned("traceparent"),
            actor: headers.asked.actor(),
            attributes: headers.asked.attributes(),
            topic: self.topic().map(str::to_owned),
            causes: headers.asked.causes(),
        })
    }
}
