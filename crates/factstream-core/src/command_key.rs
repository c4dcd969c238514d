//! The idempotency key of a command, and what a second use of it comes to (G4).
//!
//! Invariant: the rule stands here once; engines hand over what they stored with the first use, and answer with what comes out.

use crate::append::{Appended, Outcome};
use crate::content;
use crate::envelope::{InvalidId, StreamId, check_id};
use serde::Serialize;

/// Between a command's name and the digest of its content. No name of a type has it.
const CONTENT: &str = " content:";

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
    /// A key with the fingerprint of its command, which reveals a key that is used again for something else: the command's name, and
    /// with [`CommandKey::with_content`] what it holds.
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

    /// The key stands for this content, too: a use with another content is refused as reused. A use without any is accepted, for earlier
    /// releases stored none.
    ///
    /// # Errors
    /// When the content cannot be written as JSON.
    pub fn with_content(mut self, content: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        self.fingerprint = format!("{}{CONTENT}{}", self.command(), content::digest_of(content)?);
        Ok(self)
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it was made for, as it is stored.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What using the key for `stream` comes to after its first use: the first outcome, or a refusal.
    pub fn again(&self, stream: &StreamId, first: &FirstUse) -> Outcome {
        let of = &first.appended.stream;
        let same_aggregate =
            of == stream || self.id_is_made_up && of.aggregate_type() == stream.aggregate_type();
        let first_used_for = match self.compared_with(&first.fingerprint) {
            Same::Use if same_aggregate => return Outcome::Repeated(first.appended.clone()),
            Same::Use => format!("{} of {of}", command(&first.fingerprint)),
            Same::Name => format!("{} of {of}, with another content", command(&first.fingerprint)),
            Same::Nothing => command(&first.fingerprint).to_owned(),
        };
        Outcome::KeyReused { key: self.key.clone(), first_used_for }
    }

    fn command(&self) -> &str {
        command(&self.fingerprint)
    }

    fn compared_with(&self, first: &str) -> Same {
        let (name, content) = parts(&self.fingerprint);
        let (first_name, first_content) = parts(first);
        // Earlier releases had words of the caller's own behind the name.
        let earlier =
            || content.is_some() && first_content.is_none() && first_name.starts_with(&format!("{name} "));
        match (content, first_content) {
            _ if name != first_name && !earlier() => Same::Nothing,
            (Some(content), Some(first)) if content != first => Same::Name,
            _ => Same::Use,
        }
    }
}

/// What two uses of a key have in common.
enum Same {
    Use,
    Name,
    Nothing,
}

fn command(fingerprint: &str) -> &str {
    parts(fingerprint).0
}

fn parts(fingerprint: &str) -> (&str, Option<&str>) {
    match fingerprint.split_once(CONTENT) {
        Some((command, content)) => (command, Some(content)),
        None => (fingerprint, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a use of the key comes to after another one.
    fn after(first: &CommandKey, again: &CommandKey) -> Outcome {
        let stream = StreamId::new("order", "o-1").unwrap();
        let appended = Appended { stream: stream.clone(), version: 1, position: 1 };
        again.again(&stream, &FirstUse { fingerprint: first.fingerprint().to_owned(), appended })
    }

    #[test]
    fn a_key_is_compared_by_content_where_both_uses_have_one() {
        let of = |command: &str| CommandKey::new("k-1", command).unwrap();
        let with = |content: &str| of("order/Create").with_content(content).unwrap();
        for (first, again) in [
            (with("tea"), with("tea")),
            // Of another release.
            (of("order/Create"), with("tea")),
            (of("order/Create 7a8d-31"), with("tea")),
            (with("tea"), of("order/Create")),
        ] {
            assert!(matches!(after(&first, &again), Outcome::Repeated(_)), "{first:?} {again:?}");
        }
        for (first, again, for_what) in [
            (with("tea"), with("cake"), "order/Create of order/o-1, with another content"),
            (of("order/Ship").with_content("tea").unwrap(), with("tea"), "order/Ship"),
            (of("order/CreateAll"), with("tea"), "order/CreateAll"),
            (of("order/Create a"), of("order/Create b"), "order/Create a"),
        ] {
            let Outcome::KeyReused { first_used_for, .. } = after(&first, &again) else {
                panic!("{first:?} {again:?}")
            };
            assert_eq!(first_used_for, for_what);
        }
    }
}
