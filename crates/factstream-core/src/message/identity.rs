//! What makes two records one event, or two.
//!
//! A factstream store's event has an id that nobody else has: it is known by it wherever it is read (in two topics, in a copy, on
//! another cluster). Any other producer's id is known within its topic and its `source`: two producers that both count from 1
//! mean two events, as CloudEvents has it, too. Without a `source`, ids of one topic have to differ.
//!
//! A record without an id is known by its place. A place is used again when a topic is made anew, or read on another cluster;
//! so the identity holds what tells this record from the next one there: the time that the broker has of it, and a
//! digest of its key, value and headers. All of it stays the same when the record is read again.

use super::Record;
use crate::envelope::check_id;
use crate::sabotage::{Sabotage, is_on};
use uuid::Uuid;

/// The namespace of digests: a random one, of factstream's own.
const NAMESPACE: Uuid = Uuid::from_u128(0x5631_884a_17ce_418f_a4b6_042d_a247_320e);

/// An id with what it is known within.
pub(super) struct Identified {
    pub(super) event_id: String,
    /// Where that is not the id itself.
    pub(super) scoped_id: Option<String>,
}

impl Record {
    /// The identity of a record without an id: its place, and a digest of what lies there.
    pub fn place_identity(&self) -> String {
        if is_on(Sabotage::IdentityWithoutIncarnation) {
            return self.place();
        }
        format!("{}/{}", self.place(), digest(&self.fingerprint()))
    }

    /// The identity that earlier builds gave it: its id as it is, else its place. What they marked as handled is known by it.
    pub fn former_identity(&self) -> String {
        match self.header("event_id") {
            Some(id) if check_id("event_id", id).is_ok() => id.to_owned(),
            _ => self.place(),
        }
    }

    /// Where it lies, as text: topic, partition and offset.
    pub fn place(&self) -> String {
        format!("{}/{}", self.partition, self.offset)
    }

    /// The id that it has, or gets. `kept` is the identity under which it is kept already.
    pub(super) fn identified(
        &self,
        event_id: Option<String>,
        source: &str,
        is_ours: bool,
        kept: Option<&str>,
    ) -> Identified {
        let Some(event_id) = event_id else {
            let event_id = kept.map_or_else(|| self.place_identity(), str::to_owned);
            return Identified { event_id, scoped_id: None };
        };
        let is_bare = is_ours || is_on(Sabotage::IdentityWithoutIncarnation);
        let scoped_id = match kept {
            Some(kept) => (kept != event_id).then(|| kept.to_owned()),
            None => (!is_bare).then(|| self.scoped(source, &event_id)),
        };
        Identified { event_id, scoped_id }
    }

    /// Neither a topic nor an id nor a text of a header holds a NUL, so two scopes never read the same.
    fn scoped(&self, source: &str, event_id: &str) -> String {
        let name = [self.partition.topic.as_str(), source, event_id].join("\0");
        Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
    }

    /// Everything that a record holds but for its place, each part with its length.
    fn fingerprint(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes() + 64);
        let mut add = |part: Option<&[u8]>| {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            all.extend_from_slice(&length.to_be_bytes());
            all.extend_from_slice(part.unwrap_or_default());
        };
        let time = self.timestamp.map(|timestamp| timestamp.as_microsecond().to_be_bytes());
        add(time.as_ref().map(<[u8; 8]>::as_slice));
        add(self.key.as_deref());
        add(self.value.as_deref());
        for (name, value) in self.headers.iter() {
            add(Some(name.as_bytes()));
            add(Some(value));
        }
        all
    }
}

/// Whether an id is one that a factstream store gives, on a message that says where in the store's log it lies.
pub(super) fn is_ours(event_id: Option<&str>, position: Option<u64>) -> bool {
    position.is_some() && event_id.is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// 32 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Uuid::new_v5(&NAMESPACE, bytes).simple().to_string()
}
