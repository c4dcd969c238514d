//! The causes of an event: its newest public ancestors, as they travel in its metadata and in one header of its message (G19).
//!
//! Invariants: the text is bounded ([`CAUSES_MAX`] and [`CAUSES_BYTES_MAX`]) and plain ASCII. What is read was written by others: a text of
//! another form is no causes, and not in the way.

use crate::id::{check_id, is_topic};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;

/// How many causes an event carries at most: its newest.
pub const CAUSES_MAX: usize = 16;
/// How many bytes their text has at most; older causes that do not fit are left out.
pub const CAUSES_BYTES_MAX: usize = 4_096;

/// An event that led to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// Its [identity](crate::envelope::Envelope::identity), by which consumers mark it as handled.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// The topic that it was published to.
    pub topic: String,
}

/// The newest causes of an event, newest first: at most [`CAUSES_MAX`] of those that were published.
///
/// As text: `id/type/topic`, one after the other with commas between them. Any byte other than a letter, a digit, `-`, `.`, `_` or `:` stands as
/// `%` and two hexadecimal digits.
///
/// ```
/// use factstream_core::causes::Causes;
///
/// let paid = Causes::default().and("0198-1", "OrderPlaced", "orders.events").and("0198-2", "PaymentTaken", "payments.events");
/// assert_eq!(paid.as_str(), "0198-2/PaymentTaken/payments.events,0198-1/OrderPlaced/orders.events");
/// assert_eq!(Causes::read(paid.as_str()).iter().next().unwrap().event_type, "PaymentTaken");
/// assert!(Causes::read("whatever another team means by this header").is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Causes(Option<Box<str>>);

impl Causes {
    /// Those of a text; none, if it is of another form or longer than [`CAUSES_BYTES_MAX`].
    pub fn read(text: &str) -> Self {
        let is_good = (1..=CAUSES_BYTES_MAX).contains(&text.len())
            && text.split(',').count() <= CAUSES_MAX
            && text.split(',').all(|entry| parts(entry).is_some());
        Self(is_good.then(|| text.into()))
    }

    /// The causes of what an event led to, which has these causes itself: the event is the newest. Whatever cannot be recorded is left out.
    #[must_use]
    pub fn and(&self, id: &str, event_type: &str, topic: &str) -> Self {
        let mut text =
            String::with_capacity(self.as_str().len() + id.len() + event_type.len() + topic.len() + 3);
        write_part(&mut text, id);
        text.push('/');
        write_part(&mut text, event_type);
        text.push('/');
        write_part(&mut text, topic);
        if text.len() > CAUSES_BYTES_MAX || !can_be_recorded(id, event_type, topic) {
            return self.clone();
        }
        for entry in self.entries().take(CAUSES_MAX - 1) {
            if text.len() + 1 + entry.len() > CAUSES_BYTES_MAX {
                break;
            }
            text.push(',');
            text.push_str(entry);
        }
        Self(Some(text.into()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text; empty when there is none.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Each of them, newest first.
    pub fn iter(&self) -> impl Iterator<Item = Cause> {
        self.entries().filter_map(cause)
    }

    fn entries(&self) -> impl Iterator<Item = &str> {
        self.0.as_deref().into_iter().flat_map(|text| text.split(','))
    }
}

fn cause(entry: &str) -> Option<Cause> {
    let [id, event_type, topic] = parts(entry)?.map(Cow::into_owned);
    Some(Cause { id, event_type, topic })
}

/// `id/type/topic`.
fn parts(entry: &str) -> Option<[Cow<'_, str>; 3]> {
    let mut parts = entry.split('/').map(read_part);
    let (id, event_type, topic) = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && can_be_recorded(&id, &event_type, &topic)).then_some([id, event_type, topic])
}

fn can_be_recorded(id: &str, event_type: &str, topic: &str) -> bool {
    check_id("id", id).is_ok() && check_id("event type", event_type).is_ok() && is_topic(topic)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':')
}

/// Every byte is looked at: so the compiler looks at many at once.
fn is_all_plain(part: &str) -> bool {
    part.bytes().fold(true, |plain, byte| plain & is_plain(byte))
}

fn write_part(text: &mut String, part: &str) {
    if is_all_plain(part) {
        return text.push_str(part);
    }
    for byte in part.bytes() {
        match is_plain(byte) {
            true => text.push(char::from(byte)),
            false => drop(write!(text, "%{byte:02x}")), // a String takes all
        }
    }
}

fn read_part(part: &str) -> Option<Cow<'_, str>> {
    if is_all_plain(part) {
        return Some(Cow::Borrowed(part));
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            plain if is_plain(plain) => plain,
            _ => return None,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

impl Serialize for Causes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Metadata that others wrote may have anything of this name.
impl<'de> Deserialize<'de> for Causes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(value.as_str().map(Self::read).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain(length: usize) -> Causes {
        (0..length)
            .fold(Causes::default(), |causes, n| causes.and(&format!("e-{n}"), "Placed", "orders.events"))
    }

    #[test]
    fn the_newest_sixteen_are_kept_newest_first() {
        let ids: Vec<String> = chain(20).iter().map(|cause| cause.id).collect();
        let expected: Vec<String> = (4..20).rev().map(|n| format!("e-{n}")).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn the_text_is_bounded_however_long_the_parts_are() {
        let long = "ä".repeat(127);
        let causes = (0..20).fold(Causes::default(), |causes, n| causes.and(&format!("e-{n}"), &long, "t"));
        assert!(causes.as_str().len() <= CAUSES_BYTES_MAX);
        assert_eq!(
            causes.iter().next().map(|cause| (cause.id, cause.event_type)),
            Some(("e-19".into(), long))
        );
        assert!(causes.iter().count() > 1);
        let too_long = "x".repeat(256);
        assert_eq!(causes.and(&too_long, "Placed", "t"), causes, "what is no id is left out");
        assert_eq!(causes.and("e", "Placed", "no topic"), causes);
    }

    #[test]
    fn a_text_of_another_form_is_no_causes() {
        let long = format!("{}/T/t", "x".repeat(CAUSES_BYTES_MAX));
        let seventeen = format!("{},e/T/t", chain(16).as_str());
        for bad in [
            "", ",", "/", "//", "a/b", "a/b/c/d", "a/b/c,", "a//c", "a/b/c d", "a/b/%", "a/b/%zz", "a/%ff/c",
            "a%00/b/c", "a/b/c%2f", "[\"a\"]", "ä/b/c", &long, &seventeen,
        ] {
            assert!(Causes::read(bad).is_empty(), "{bad}");
        }
        assert_eq!(Causes::read(chain(16).as_str()), chain(16));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(
            parts in proptest::collection::vec(("[^\\p{Cc}]{1,10}", "[^\\p{Cc}]{1,10}", "[a-z]{1,20}"), 1..6)
        ) {
            let causes = parts.iter().fold(Causes::default(), |causes, (id, name, topic)| causes.and(id, name, topic));
            let read: Vec<_> = Causes::read(causes.as_str()).iter().map(|cause| (cause.id, cause.event_type, cause.topic)).collect();
            let newest_first: Vec<_> = parts.into_iter().rev().collect();
            prop_assert_eq!(read, newest_first);
        }

        #[test]
        fn no_text_whatever_is_in_the_way(text in any::<String>()) {
            let causes = Causes::read(&text);
            prop_assert!(causes.is_empty() || causes.as_str() == text);
            prop_assert!(causes.and("e", "T", "t").iter().next().is_some_and(|cause| cause.id == "e"));
        }
    }
}
