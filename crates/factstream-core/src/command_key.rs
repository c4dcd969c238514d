//! The idempotency key of a command, and what a second use of it comes to (G4).
//!
//! Invariant: the rule stands here once; engines hand over what they stored with the first use, and answer with what comes out.

use crate::append::{Appended, Outcome};
use crate::envelope::{InvalidId, StreamId, check_id};

/// An idempotency key and what it was first used for.
///
/// It belongs to the stream of the append that it comes with: the same key for another aggregate is refused as reused, unless
/// the id is made up with each call ([`CommandKey::for_new_id`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandKey {
    key: String,
    fingerprint: String,
    id_is_made_up: bool,
}

/// What a store has kept of the first use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstUse {
    /// The fingerprint of its command.
    pub fingerprint: String,
    /// What came of it.
    pub appended: Appended,
}

impl CommandKey {
    /// A key with the fingerprint of its command, which reveals a key that is used again for something else.
    ///
    /// # Errors
    /// [`InvalidId`] when the key is empty, too long or holds a control character.
    pub fn new(key: impl Into<String>, fingerprint: impl Into<String>) -> Result<Self, InvalidId> {
        let key = key.into();
        check_id("idempotency key", &key)?;
        Ok(Self { key, fingerprint: fingerprint.into(), id_is_made_up: false })
    }

    /// The aggregate's id is made up with each call, so a repeat comes with another one: it is the key that says which
    /// aggregate is meant. The aggregate's type must still be the same.
    #[must_use]
    pub fn for_new_id(mut self) -> Self {
        self.id_is_made_up = true;
        self
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it was made for.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What using the key for `stream` comes to after its first use: the first outcome, or a refusal.
    pub fn again(&self, stream: &StreamId, first: &FirstUse) -> Outcome {
        let of = &first.appended.stream;
        let same_aggregate = of == stream || self.id_is_made_up && of.category() == stream.category();
        let same_command = first.fingerprint == self.fingerprint;
        if same_aggregate && same_command {
            return Outcome::Repeated(first.appended.clone());
        }
        let first_used_for = match same_command {
            true => format!("{} of {of}", first.fingerprint),
            false => first.fingerprint.clone(),
        };
        Outcome::KeyReused { key: self.key.clone(), first_used_for }
    }
}
