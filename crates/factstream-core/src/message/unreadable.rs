//! Why a record cannot be read.

/// Why a record cannot be read. Never retried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// A header that must be there is not.
    #[error("the message has no {header} header")]
    NoHeader {
        /// The header.
        header: &'static str,
    },
    /// A header's bytes are not text.
    #[error("the header {header:?} is not UTF-8")]
    HeaderNotUtf8 {
        /// The header.
        header: String,
    },
    /// A header does not hold what it must.
    #[error("the header {header} holds no valid {header}")]
    BadHeader {
        /// The header.
        header: &'static str,
    },
    /// A tombstone.
    #[error("the message has no value (a tombstone)")]
    NoValue,
    /// The consumer's own decoder refused it.
    #[error("the consumer's decoder refused the record: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The value's bytes are not text.
    #[error("the message's value is not UTF-8")]
    NotUtf8,
    /// Neither a key nor an aggregate id.
    #[error("the message has neither a key nor an aggregate_id in its value")]
    NoKey,
}
