//! From which version of its aggregate a command may be executed: what its user has seen of it.

use crate::envelope::Version;
use std::fmt;

/// The versions of an aggregate that a command may be executed from.
///
/// ```
/// use factstream_core::expected::ExpectedVersion;
///
/// assert_eq!(ExpectedVersion::from(3), ExpectedVersion::OneOf(vec![3]));
/// assert_eq!(ExpectedVersion::OneOf(vec![3, 5]).to_string(), "version 3 or 5");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedVersion {
    /// It exists, at whatever version.
    Existing,
    /// It is at one of these; 0: it does not exist yet. With none in the list, at no version.
    OneOf(Vec<Version>),
}

impl ExpectedVersion {
    /// Whether an aggregate at this version is what was expected; 0: it does not exist.
    pub fn holds(&self, version: Version) -> bool {
        match self {
            Self::Existing => version > 0,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

impl From<Version> for ExpectedVersion {
    fn from(version: Version) -> Self {
        Self::OneOf(vec![version])
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Existing => f.write_str("a version that exists"),
            Self::OneOf(versions) if versions.is_empty() => f.write_str("a version that it never has"),
            Self::OneOf(versions) => {
                let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
                write!(f, "version {}", versions.join(" or "))
            }
        }
    }
}
