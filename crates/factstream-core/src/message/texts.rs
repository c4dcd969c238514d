//! Our own headers as text.

use super::asked::Asked;
use super::unreadable::Unreadable;
use super::{HEADERS, Headers};
use crate::envelope::ID_BYTES_MAX;

/// The headers that are read, the first of each name, as text: UTF-8 without a NUL, which no database text may hold.
pub(super) struct Texts<'r> {
    texts: [Option<&'r str>; HEADERS.len()],
    pub(super) asked: Asked<'r>,
}

impl<'r> Texts<'r> {
    /// Refuses one that is not text. Other teams' headers are their own: whatever is in them, nobody here reads it.
    pub(super) fn of(headers: &'r Headers) -> Result<Self, Unreadable> {
        let (mut texts, mut asked) = ([None; HEADERS.len()], Asked::default());
        for (name, value) in headers.iter() {
            match HEADERS.iter().zip(&mut texts).find(|(header, _)| **header == name) {
                Some((header, place @ None)) => {
                    let Ok(text) = std::str::from_utf8(value) else {
                        return Err(Unreadable::HeaderNotUtf8 { header: shorten(name) });
                    };
                    if value.contains(&0) {
                        return Err(Unreadable::BadHeader { header });
                    }
                    *place = Some(text);
                }
                Some(_) => {} // the first of a name counts
                None => asked.note(name, value),
            }
        }
        Ok(Self { texts, asked })
    }

    pub(super) fn text(&self, name: &str) -> Option<&'r str> {
        let (_, text) = HEADERS.iter().zip(&self.texts).find(|(header, _)| **header == name)?;
        *text
    }

    pub(super) fn number<N: std::str::FromStr>(&self, header: &'static str) -> Result<Option<N>, Unreadable> {
        let Some(text) = self.text(header) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Unreadable::BadHeader { header })
    }
}

/// A foreign text as it may stand in a reason.
fn shorten(text: &str) -> String {
    text.chars().take(ID_BYTES_MAX).collect()
}
