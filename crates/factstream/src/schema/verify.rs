//! A store, event by event: can this build read all of history?
//!
//! Invariant: what is asked is the real decoder, for each event of the log by everyone who declares it, and for each letter and record by
//! the handler that would be given it. Nothing is changed, and memory is bounded: one page at a time.

mod matrix;
mod places;

pub use matrix::{HistoryMatrix, HistoryRow, Place};

use super::catalogue::EventCatalogue;
use crate::app::App;
use crate::error::Error;
use crate::process::received::{is_fact, message_in};
use factstream_core::decode::{ContentError, EventOrigin};
use factstream_core::envelope::{Position, RecordedEvent};

/// Events read at once.
const PAGE_EVENTS: usize = 1_000;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// The position that was read to.
    pub position: Position,
    /// The newest position, when it began.
    pub head: Position,
}

impl EventCatalogue {
    /// Reads all that a store holds with this build's decoders: the log, the dead letters with what waits behind them, and the topics
    /// of the embedded broker. `App` is of the same declarations; one that was opened with [`Builder::inspect`](crate::Builder::inspect) will do.
    ///
    /// Events that come while it runs are not waited for. `progress` is called after each page.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn verify(
        &self,
        app: &App,
        mut progress: impl FnMut(VerifyProgress),
    ) -> Result<HistoryMatrix, Error> {
        let mut matrix = HistoryMatrix::default();
        let head = app.head().await?;
        let mut position = 0;
        while position < head {
            let events = app.read_log(position, PAGE_EVENTS).await?;
            let Some(last) = events.last() else { break };
            position = last.position;
            for event in &events {
                let read = self.read(event);
                let at = || format!("position {}", event.position);
                matrix.count(Place::Log, (&event.event_type, event.schema_version), read, at);
            }
            progress(VerifyProgress { position, head });
        }
        places::letters(app, self, &mut matrix).await?;
        places::records(app, self, &mut matrix).await?;
        Ok(matrix)
    }

    /// Reads one event of the log as everyone does who declares it.
    fn read(&self, event: &RecordedEvent) -> Result<(), String> {
        if is_fact(&event.event_type) {
            return self.read_fact(event);
        }
        self.read_text(&event.event_type, event.schema_version, &event.data, &|| EventOrigin::of(event))
    }

    /// Reads the message that a fact of a process holds.
    fn read_fact(&self, fact: &RecordedEvent) -> Result<(), String> {
        let envelope = fact.envelope().map_err(|error| ContentError::from(error).to_string())?;
        match message_in(&envelope, &fact.data).map_err(|error| error.to_string())? {
            Some(message) => {
                let origin = || EventOrigin::of_envelope(&message);
                self.read_text(&message.event_type, message.schema_version, message.event.get(), &origin)
            }
            None => Ok(()),
        }
    }

    pub(super) fn read_text(
        &self,
        event_type: &str,
        version: u32,
        json: &str,
        origin: &dyn Fn() -> EventOrigin,
    ) -> Result<(), String> {
        let decoder = self.decoder();
        if decoder.drops(event_type) {
            return Ok(());
        }
        let lifted =
            decoder.lift_from(event_type, version, json, origin).map_err(|error| error.to_string())?;
        for declared in self.declarations_of(event_type) {
            declared.contract.rewrite(&lifted).map_err(|error| {
                format!("its content does not fit {}: {error}", declared.event_type.declared_by)
            })?;
        }
        Ok(())
    }
}
