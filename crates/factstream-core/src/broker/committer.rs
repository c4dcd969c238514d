//! Who commits a group's offsets, as the offsets themselves say: so that two systems that share a group by mistake are told apart,
//! also when only one of them runs.
//!
//! The text stands in the metadata of each committed offset: `factstream 1 <store id> <service>`. Invariant: the first three words
//! stay what they are in every later version; what is added comes behind them. Any other text is another tool's, and says nothing.

use serde::Serialize;
use std::fmt;
use uuid::Uuid;

const NAME: &str = "factstream";
const VERSION: u32 = 1;
/// A cluster keeps 4,096 bytes of such text by default.
const SERVICE_BYTES_MAX: usize = 255;

/// A system that commits offsets: a store, and one of the services on it.
///
/// ```
/// use factstream_core::broker::Committer;
///
/// let committer = Committer { store_id: uuid::Uuid::from_u128(7), service: "payment".into() };
/// let text = committer.to_text();
/// assert_eq!(text, "factstream 1 00000000-0000-0000-0000-000000000007 payment");
/// assert_eq!(Committer::parse(&text), Some(committer));
/// assert_eq!(Committer::parse("another tool's text"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Committer {
    /// The id of its store.
    pub store_id: Uuid,
    /// The service.
    pub service: String,
}

impl Committer {
    /// What is committed with an offset.
    pub fn to_text(&self) -> String {
        let end = self.service.floor_char_boundary(SERVICE_BYTES_MAX);
        format!("{NAME} {VERSION} {} {}", self.store_id, &self.service[..end])
    }

    /// Who wrote this text; `None` where it is empty or not factstream's.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (name, version, store_id) = (words.next()?, words.next()?, words.next()?);
        version.parse::<u32>().ok().filter(|_| name == NAME)?;
        Some(Self { store_id: store_id.parse().ok()?, service: words.next().unwrap_or_default().to_owned() })
    }
}

impl fmt::Display for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service {:?} on the store {}", self.service, self.store_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_later_versions_write_is_understood_and_what_others_write_is_not() {
        let store_id = Uuid::from_u128(1);
        let later = Committer::parse(&format!("factstream 2 {store_id} mail and more")).unwrap();
        assert_eq!((later.store_id, later.service.as_str()), (store_id, "mail and more"));
        for other in
            ["", " ", "factstream", "factstream 1", "factstream 1 x mail", "factstream x 1 y", "offset 9"]
        {
            assert_eq!(Committer::parse(other), None, "{other}");
        }
        let long = Committer { store_id, service: "é".repeat(1_000) };
        assert!(long.to_text().len() < 400);
    }
}
