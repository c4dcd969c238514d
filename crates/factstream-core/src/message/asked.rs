//! Who asked, what else came with the request, and what led to it, from the headers of a message.

use super::{ACTOR, ATTRIBUTES, CAUSES, Headers};
use crate::causes::Causes;
use crate::read_context::{read_actor, read_attributes};
use std::collections::BTreeMap;

/// The first header of each of the three names.
#[derive(Default)]
pub(super) struct Asked<'r> {
    actor: Option<&'r [u8]>,
    attributes: Option<&'r [u8]>,
    causes: Option<&'r [u8]>,
}

impl<'r> Asked<'r> {
    pub(super) fn of(headers: &'r Headers) -> Self {
        Self { actor: headers.get(ACTOR), attributes: headers.get(ATTRIBUTES), causes: headers.get(CAUSES) }
    }

    /// Takes a header in that is one of the three.
    pub(super) fn note(&mut self, name: &str, value: &'r [u8]) {
        match name {
            ACTOR => self.actor = self.actor.or(Some(value)),
            ATTRIBUTES => self.attributes = self.attributes.or(Some(value)),
            CAUSES => self.causes = self.causes.or(Some(value)),
            _ => {}
        }
    }

    /// Who asked for the event, where the header can be that.
    pub(super) fn actor(&self) -> Option<String> {
        std::str::from_utf8(self.actor?).ok().and_then(read_actor)
    }

    /// What led to the event, where the header has it.
    pub(super) fn causes(&self) -> Causes {
        let text = self.causes.and_then(|text| std::str::from_utf8(text).ok());
        text.map(Causes::read).unwrap_or_default()
    }

    /// What else came with the request, where the header has it.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        let read = self.attributes.and_then(|json| serde_json::from_slice(json).ok());
        read.map(read_attributes).unwrap_or_default()
    }
}
