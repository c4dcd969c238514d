//! Our own headers as text.

use super::reading::Unreadable;
use super::{HEADERS, Headers};
use crate::envelope::ID_BYTES_MAX;

/// The headers that are read, the first of each name, as text: UTF-8 without a NUL, which no database text may hold.
pub(super) struct Texts<'r>([Option<&'r str>; HEADERS.len()]);

impl<'r> Texts<'r> {
    /// Refuses one that is not text. Other teams' headers are their own: whatever is in them, nobody here reads it.
    pub(super) fn of(headers: &'r Headers) -> Result<Self, Unreadable> {
        let mut texts = [None; HEADERS.len()];
        for (name, value) in headers.iter() {
            let ours = HEADERS.iter().zip(&mut texts).find(|(header, _)| **header == name);
            if let Some((header, place @ None)) = ours {
                let Ok(text) = std::str::from_utf8(value) else {
                    return Err(Unreadable::HeaderNotUtf8 { header: shorten(name) });
                };
                if value.contains(&0) {
                    return Err(Unreadable::BadHeader { header });
                }
                *place = Some(text);
            }
        }
        Ok(Self(texts))
    }

    pub(super) fn text(&self, name: &str) -> Option<&'r str> {
        let (_, text) = HEADERS.iter().zip(&self.0).find(|(header, _)| **header == name)?;
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
