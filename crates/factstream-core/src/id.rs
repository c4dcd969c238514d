//! Ids: of aggregates, events and keys, and names that are kept beside them.

/// The longest id of an aggregate or command key, in bytes.
pub const ID_BYTES_MAX: usize = 255;

/// Checks an id: 1 to [`ID_BYTES_MAX`] bytes, no control characters (so no NUL, which no database text may hold).
///
/// # Errors
/// [`InvalidId`], which names `what` and says which rule is broken.
pub fn check_id(what: &'static str, id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        return Err(InvalidId::Empty { what });
    }
    if id.len() > ID_BYTES_MAX {
        return Err(InvalidId::TooLong { what, bytes: id.len() });
    }
    let is_control = match id.is_ascii() {
        // The usual case. Every byte is looked at: so the compiler looks at many at once.
        true => id.bytes().fold(false, |found, byte| found | byte.is_ascii_control()),
        false => id.chars().any(char::is_control),
    };
    if is_control {
        return Err(InvalidId::ControlCharacter { what });
    }
    Ok(())
}

/// Whether this can be the name of a topic, as Kafka has it.
pub(crate) fn is_topic(name: &str) -> bool {
    let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len())
        && name.bytes().fold(true, |signs, byte| signs & is_sign(byte))
        && name != "."
        && name != ".."
}

/// Why an id cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// It has no characters.
    #[error("the {what} is empty; give it 1 to {ID_BYTES_MAX} bytes")]
    Empty {
        /// Which id.
        what: &'static str,
    },
    /// It is longer than [`ID_BYTES_MAX`].
    #[error("the {what} has {bytes} bytes; at most {ID_BYTES_MAX} are allowed")]
    TooLong {
        /// Which id.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It holds a control character (NUL, a line break, ..).
    #[error("the {what} holds a control character (such as NUL or a line break); remove it")]
    ControlCharacter {
        /// Which id.
        what: &'static str,
    },
}
