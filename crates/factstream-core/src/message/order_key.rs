//! In whose order a record is handled, and which aggregate it is of.
//!
//! Invariant: records of one key have one order key, and those of two keys two, whatever bytes a key has: what fails parks
//! what comes behind it (G8), and nothing else.

use super::Record;
use super::identity::digest;
use super::unreadable::Unreadable;
use crate::envelope::{ID_BYTES_MAX, check_id};
use serde::Deserialize;
use std::fmt::Write as _;

/// Begins the order key of a record whose key is no id. A text key that begins so, too, is told by its bytes, so that
/// the two cannot meet.
const BYTES: &str = "bytes:";
/// Keys up to this length are written out.
const WRITTEN_BYTES_MAX: usize = (ID_BYTES_MAX - BYTES.len()) / 2;

impl Record {
    /// The key in whose order it is handled, also when nothing else can be read: the record's key, as text where that can
    /// be an id, else `bytes:` and its bytes in hexadecimal (a digest of a long key). Without a key, the aggregate id of
    /// its value, else its partition.
    pub fn order_key(&self) -> String {
        match &self.key {
            Some(key) => key_text(key),
            None => self.value_aggregate_id().unwrap_or_else(|| self.partition.to_string()),
        }
    }

    /// The aggregate that it is of. A factstream store's key says it; others' value does, where it has one: a key may be
    /// any bytes that happen to be text.
    pub(super) fn aggregate_id(&self, is_ours: bool) -> Result<String, Unreadable> {
        let key = self.key.as_deref().and_then(id_text);
        match key {
            Some(key) if is_ours => Ok(key.to_owned()),
            _ => match (self.value_aggregate_id(), key, &self.key) {
                (Some(id), ..) => Ok(id),
                (None, Some(key), _) => Ok(key.to_owned()),
                (None, None, Some(key)) => Ok(key_text(key)),
                (None, None, None) => Err(Unreadable::NoKey),
            },
        }
    }

    pub(super) fn value_aggregate_id(&self) -> Option<String> {
        aggregate_id_in(self.value.as_deref()?)
    }
}

/// The aggregate id that a JSON object names.
pub(super) fn aggregate_id_in(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Value {
        aggregate_id: String,
    }
    let value: Value = serde_json::from_slice(json).ok()?;
    check_id("aggregate_id", &value.aggregate_id).is_ok().then_some(value.aggregate_id)
}

fn id_text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok().filter(|key| check_id("key", key).is_ok())
}

pub(super) fn key_text(key: &[u8]) -> String {
    if let Some(text) = id_text(key).filter(|text| !text.starts_with(BYTES)) {
        return text.to_owned();
    }
    let mut text = BYTES.to_owned();
    if key.len() > WRITTEN_BYTES_MAX {
        return text + "digest-" + &digest(key);
    }
    for byte in key {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn binary_empty_and_long_keys_are_told_apart_and_can_be_kept() {
        assert_eq!(key_text(b"o-1"), "o-1");
        assert_eq!(key_text(&42_u64.to_be_bytes()), "bytes:000000000000002a");
        assert_eq!(key_text(b""), "bytes:");
        assert_eq!(
            key_text(b"bytes:00"),
            "bytes:62797465733a3030",
            "a text key is not the bytes that it looks like"
        );
        let long = [vec![b'x'; 300], vec![b'x'; 301]].map(|key| key_text(&key));
        assert!(long[0].starts_with("bytes:digest-") && long[0] != long[1], "{long:?}");
    }

    proptest! {
        #[test]
        fn two_keys_have_two_order_keys(
            one in proptest::collection::vec(any::<u8>(), 0..300),
            other in proptest::collection::vec(any::<u8>(), 0..300),
            text in "(bytes:)?[0-9a-f]{0,40}",
        ) {
            let keys = [one.as_slice(), other.as_slice(), text.as_bytes(), &one[..one.len() / 2]];
            for a in keys {
                prop_assert!(check_id("order key", &key_text(a)).is_ok());
                for b in keys {
                    prop_assert_eq!(a == b, key_text(a) == key_text(b), "{:?} {:?}", a, b);
                }
            }
        }
    }
}
