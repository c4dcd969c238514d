//! What this build declares: types of events, their shapes, and the decoder that reads them.

use crate::builder::Builder;
use crate::error::Error;
use factstream_core::decode::{DecodeError, Decoder, Upcasters};
use factstream_core::event::{EventContract, EventType};
use factstream_core::schema::Schema;
use std::fmt;

/// The events of an application, as its build declares them: [`Builder::events`].
pub struct EventCatalogue {
    pub(super) types: Vec<Declared>,
    decoder: Decoder,
}

/// One declaration of a type of event: by the aggregate that records it, or by a handler that reads it.
pub(super) struct Declared {
    pub(super) event_type: &'static EventType,
    pub(super) contract: EventContract,
    pub(super) schema: Schema,
    /// Whether an aggregate of this build records it.
    pub(super) is_recorded: bool,
}

impl Declared {
    /// What this type is called, or was.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.event_type.is_called(name)
    }
}

impl fmt::Debug for EventCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.types.iter().map(|declared| declared.event_type.name).collect();
        f.debug_struct("EventCatalogue").field("types", &names).finish_non_exhaustive()
    }
}

impl EventCatalogue {
    pub(crate) fn new(
        recorded: &[&'static EventType],
        all: &[&'static EventType],
        upcasters: &Upcasters,
    ) -> Result<Self, Error> {
        let decoder = upcasters.decoder(all.iter().copied())?;
        let mut types: Vec<Declared> = Vec::new();
        let of_aggregates = recorded.iter().map(|of| (*of, true));
        for (event_type, is_recorded) in of_aggregates.chain(all.iter().map(|of| (*of, false))) {
            // Events of other teams' topics have no shape here.
            let Some(contract) = event_type.contract else { continue };
            let is_known = types.iter().any(|known| {
                known.event_type.name == event_type.name
                    && known.event_type.declared_by == event_type.declared_by
            });
            if !is_known {
                types.push(Declared { event_type, contract, schema: contract.schema(), is_recorded });
            }
        }
        types.sort_by_key(|declared| (declared.event_type.name, !declared.is_recorded));
        Ok(Self { types, decoder })
    }

    /// The types of events, by name; those that an aggregate of this build records come first.
    pub fn event_types(&self) -> impl Iterator<Item = (&'static EventType, &Schema)> {
        self.types.iter().map(|declared| (declared.event_type, &declared.schema))
    }

    /// The real decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub(super) fn recorded(&self) -> impl Iterator<Item = &Declared> {
        self.types.iter().filter(|declared| declared.is_recorded)
    }

    /// Who records events that are, or were, called so.
    pub(super) fn recorder_of(&self, name: &str) -> Option<&Declared> {
        self.recorded().find(|declared| declared.is_called(name))
    }

    /// Every declaration of an event that is, or was, called so.
    pub(super) fn declarations_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Declared> {
        self.types.iter().filter(move |declared| declared.is_called(name))
    }

    /// Lifts JSON as the decoder does, reads it as this declaration does, and writes it again.
    pub(super) fn rewrite(
        &self,
        declared: &Declared,
        name: &str,
        version: u32,
        json: &str,
    ) -> Result<String, DecodeError> {
        let lifted = self.decoder.lift(name, version, json)?;
        declared.contract.rewrite(&lifted).map_err(|reason| DecodeError::Content {
            event_type: name.to_owned(),
            schema_version: version,
            reason,
        })
    }
}

impl Builder {
    /// The events that this application declares, with their shapes: what [schema gates](crate::schema) look at. Needs no store.
    ///
    /// # Errors
    /// [`Error::Wiring`] when declarations and upcasters do not fit together.
    pub fn events(&self) -> Result<EventCatalogue, Error> {
        EventCatalogue::new(&self.recorded, &self.event_types, &self.upcasters)
    }
}
