//! The leaf of an event: what of it is sealed, byte for byte, and its hash. This form lasts for ever; decision 0045 has it in words
//! and the tests below have it in numbers.
//!
//! Invariant: it is made of what the columns mean (numbers, a UUID, an instant, the bytes of texts), never of how an engine writes
//! them down, so that one event has one leaf on every engine.

use factstream_core::envelope::{Position, RecordedEvent};
use sha2::{Digest, Sha256};

/// SHA-256.
pub(crate) type Hash = [u8; HASH_BYTES];
pub(crate) const HASH_BYTES: usize = 32;

/// Random bytes that are hashed with an event, so that nobody can guess a short event from its leaf. Without them the leaf says
/// nothing about the event any more: that is how an event is forgotten whose leaf has to stay.
pub(crate) type Salt = [u8; SALT_BYTES];
pub(crate) const SALT_BYTES: usize = 16;
/// A salt that was destroyed, or that was never needed.
pub(crate) const NO_SALT: Salt = [0; SALT_BYTES];

/// The form of leaves, written beside them: whoever finds another one has to be a newer build.
pub(crate) const FORM: u32 = 1;

/// RFC 6962, 2.1: leaves and nodes are hashed behind different first bytes, so that none can be taken for the other.
const LEAF: u8 = 0;
/// What a leaf stands for.
const OF_NOTHING: u8 = 0;
const OF_EVENT: u8 = 1;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// The leaf of an event.
pub(crate) fn of_event(event: &RecordedEvent, salt: &Salt) -> Hash {
    at(event.position, event, salt)
}

/// The leaf that an event would have at another position.
pub(crate) fn at(position: Position, event: &RecordedEvent, salt: &Salt) -> Hash {
    let RecordedEvent {
        position: _,
        aggregate_type,
        aggregate_id,
        version,
        event_id,
        event_type,
        schema_version,
        data,
        metadata,
        timestamp,
    } = event;
    let nanoseconds = timestamp.as_nanosecond();
    let seconds = nanoseconds.div_euclid(NANOS_PER_SECOND) as i64;
    let below = nanoseconds.rem_euclid(NANOS_PER_SECOND) as u32;
    let mut hash = Sha256::new();
    hash.update([LEAF, OF_EVENT]);
    hash.update(salt);
    hash.update(position.to_be_bytes());
    hash.update(version.to_be_bytes());
    hash.update(u64::from(*schema_version).to_be_bytes());
    hash.update(seconds.to_be_bytes());
    hash.update(below.to_be_bytes());
    hash.update(event_id.as_bytes());
    for text in [aggregate_type, aggregate_id, event_type, data, metadata] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

/// The leaf of a position that had no event any more when it was sealed.
pub(crate) fn of_nothing(position: Position) -> Hash {
    let mut hash = Sha256::new();
    hash.update([LEAF, OF_NOTHING]);
    hash.update(position.to_be_bytes());
    hash.finalize().into()
}

/// As people write it.
#[cfg(test)]
pub(super) fn hex(hash: Hash) -> String {
    let half = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().unwrap());
    format!("{:032x}{:032x}", half(&hash[..16]), half(&hash[16..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The event of decision 0045.
    fn event() -> RecordedEvent {
        RecordedEvent {
            position: 7,
            aggregate_type: "order".into(),
            aggregate_id: "o-ä".into(),
            version: 2,
            event_id: "01936f3e-7b2a-7c11-8f00-0123456789ab".parse().unwrap(),
            event_type: "OrderShipped".into(),
            schema_version: 1,
            data: r#"{"tracking_number":"T-1"}"#.into(),
            metadata: r#"{"source":"orders"}"#.into(),
            timestamp: "2026-11-30T12:34:56.789012Z".parse().unwrap(),
        }
    }

    const SALT: Salt = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    /// The bytes are those of the decision, put together by hand.
    #[test]
    fn a_leaf_is_the_hash_of_these_bytes_and_of_no_others() {
        let mut bytes = vec![0, 1];
        bytes.extend(SALT);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend(1_796_042_096_i64.to_be_bytes());
        bytes.extend(789_012_000_u32.to_be_bytes());
        bytes.extend([
            0x01, 0x93, 0x6f, 0x3e, 0x7b, 0x2a, 0x7c, 0x11, 0x8f, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
        ]);
        bytes.extend(b"\0\0\0\0\0\0\0\x05order");
        bytes.extend(b"\0\0\0\0\0\0\0\x04o-\xc3\xa4");
        bytes.extend(b"\0\0\0\0\0\0\0\x0cOrderShipped");
        bytes.extend(b"\0\0\0\0\0\0\0\x19{\"tracking_number\":\"T-1\"}");
        bytes.extend(b"\0\0\0\0\0\0\0\x13{\"source\":\"orders\"}");
        assert_eq!(bytes.len(), 175);
        assert_eq!(hex(of_event(&event(), &SALT)), hex(Sha256::digest(&bytes).into()));
    }

    /// Vectors: whoever changes one of these can verify no store that was sealed before.
    #[test]
    fn the_form_of_a_leaf_never_changes() {
        assert_eq!(
            hex(of_event(&event(), &SALT)),
            "82e7c1415f7a4d84bb010f8d122e95e23b9583883ea0a49ae4b288851b61c138"
        );
        let before_1970 =
            RecordedEvent { timestamp: "1969-12-31T23:59:59.999999Z".parse().unwrap(), ..event() };
        assert_eq!(
            hex(of_event(&before_1970, &NO_SALT)),
            "82f31181f014f8def7c1a955c2ba6e73f9a3d47e66a487e7def712f0c5e028fb"
        );
        assert_eq!(hex(of_nothing(7)), "0172d58716173dd531c4aa64635e42b11b6f707a817e3349cd87080ed3432b80");
    }

    #[test]
    fn every_column_counts_and_so_does_where_one_text_ends() {
        let (one, uuid) = (event(), "01936f3e-7b2a-7c11-8f00-0123456789ac");
        let others = [
            RecordedEvent { position: 8, ..one.clone() },
            RecordedEvent { aggregate_type: "orde".into(), aggregate_id: "ro-ä".into(), ..one.clone() },
            RecordedEvent { version: 3, ..one.clone() },
            RecordedEvent { event_id: uuid.parse().unwrap(), ..one.clone() },
            RecordedEvent { event_type: "OrderShippeD".into(), ..one.clone() },
            RecordedEvent { schema_version: 2, ..one.clone() },
            RecordedEvent { data: r#"{"tracking_number": "T-1"}"#.into(), ..one.clone() },
            RecordedEvent { metadata: "{}".into(), ..one.clone() },
            RecordedEvent { timestamp: "2026-11-30T12:34:56.789013Z".parse().unwrap(), ..one.clone() },
        ];
        let leaf = of_event(&one, &SALT);
        assert_ne!(of_event(&one, &NO_SALT), leaf);
        for other in others {
            assert_ne!(of_event(&other, &SALT), leaf, "{other:?}");
        }
    }
}
