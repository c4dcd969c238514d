//! A checkpoint: what a whole log comes down to at one size, in the form of C2SP `tlog-checkpoint`. Kept where whoever writes the store
//! cannot reach, it shows later that nothing was changed up to there.
//!
//! Form: <https://c2sp.org/tlog-checkpoint>. Three lines: the log's name, its size, its root in base64.

use super::leaf::Hash;
use super::tree::Tree;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factstream_core::envelope::Position;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// What a log comes down to at one size.
///
/// ```
/// use factstream::seals::Checkpoint;
///
/// let text = "factstream/01936f3e-7b2a-7c11-8f00-0123456789ab\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
/// let checkpoint: Checkpoint = text.parse()?;
/// assert_eq!((checkpoint.size(), checkpoint.to_string().as_str()), (0, text));
/// # Ok::<(), factstream::seals::InvalidCheckpoint>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    origin: String,
    size: Position,
    #[serde(serialize_with = "as_base64")]
    root: Hash,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no checkpoint: {reason}; give it as `seal export` wrote it")]
pub struct InvalidCheckpoint {
    pub(super) reason: String,
}

impl InvalidCheckpoint {
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The name of a store's log.
pub(super) fn origin_of(store_id: Uuid) -> String {
    format!("factstream/{store_id}")
}

impl Checkpoint {
    pub(super) fn of(tree: &Tree, store_id: Uuid) -> Self {
        Self { origin: origin_of(store_id), size: tree.size(), root: tree.root() }
    }

    /// The log's name: `factstream/` and the [store's id](crate::App::store_id).
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// For how many positions it stands: those from 1 to here.
    pub fn size(&self) -> Position {
        self.size
    }

    /// The root of the tree over them (RFC 6962, 2.1), SHA-256.
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }
}

fn as_base64<S: serde::Serializer>(root: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(root))
}

/// The three lines, each with its end.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root } = self;
        writeln!(f, "{origin}\n{size}\n{}", STANDARD.encode(root))
    }
}

/// Lines behind the third are of extensions, and are not looked at.
impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpoint> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(InvalidCheckpoint::because("it has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(InvalidCheckpoint::because("its first line, the log's name, is empty"));
        }
        let number = size.parse::<Position>().ok().filter(|number| number.to_string() == size);
        let size = number.ok_or_else(|| InvalidCheckpoint::because("its second line is not a size"))?;
        let root = STANDARD.decode(root).ok().and_then(|root| Hash::try_from(root).ok());
        let root =
            root.ok_or_else(|| InvalidCheckpoint::because("its third line is not a hash in base64"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_checkpoint_says_why() {
        let root = STANDARD.encode([7; 32]);
        let refused = |text: String| text.parse::<Checkpoint>().unwrap_err().reason;
        assert!(refused(String::new()).contains("fewer than three lines"));
        assert!(refused(format!("\n1\n{root}\n")).contains("name"));
        for size in ["-1", "01", "+1", "1 ", "x", ""] {
            assert!(refused(format!("log\n{size}\n{root}\n")).contains("size"), "{size:?}");
        }
        for root in ["", "AAAA", &root[1..], &format!("{root}=")] {
            assert!(refused(format!("log\n1\n{root}\n")).contains("hash"), "{root:?}");
        }
        let extended: Checkpoint = format!("log\n1\n{root}\nmore\n").parse().unwrap();
        assert_eq!(extended.to_string(), format!("log\n1\n{root}\n"));
    }
}
