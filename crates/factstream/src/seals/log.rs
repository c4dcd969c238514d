//! The log as it is compared with its seals: also events that cannot be read, which is a finding and not the end of it.

use crate::error::Error;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::params;
use factstream_core::store::{Store, StoreError};
use std::collections::VecDeque;

/// Events that one read asks for.
const READ_MAX: usize = 4_096;

/// What lies at a position.
pub(super) enum Entry {
    Event(RecordedEvent),
    Unreadable { position: Position, reason: String },
}

impl Entry {
    pub(super) fn position(&self) -> Position {
        match self {
            Self::Event(event) => event.position,
            Self::Unreadable { position, .. } => *position,
        }
    }
}

/// Reads the log from its beginning. Of it, one read is in memory.
pub(super) struct Log<'a> {
    store: &'a dyn Store,
    entries: VecDeque<Entry>,
    read_to: Position,
    /// How many events are asked for: fewer around one that cannot be read.
    limit: usize,
}

impl<'a> Log<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, entries: VecDeque::new(), read_to: 0, limit: READ_MAX }
    }

    /// What lies at a position; positions are asked for in order, and what lies between them is stepped over.
    pub(super) async fn at(&mut self, position: Position) -> Result<Option<Entry>, Error> {
        loop {
            match self.entries.front().map(Entry::position) {
                Some(front) if front < position => self.entries.pop_front(),
                Some(front) if front == position => return Ok(self.entries.pop_front()),
                Some(_) => return Ok(None),
                None if self.read_to >= position => return Ok(None),
                None => {
                    self.read_on(position).await?;
                    None
                }
            };
        }
    }

    /// Reads what comes next; when there is nothing, there is nothing up to this position for ever (G3).
    async fn read_on(&mut self, position: Position) -> Result<(), Error> {
        match self.store.read_log(self.read_to, self.limit).await {
            Ok(events) => {
                self.limit = (self.limit * 2).min(READ_MAX);
                self.read_to = events.last().map_or(position, |last| last.position);
                self.entries.extend(events.into_iter().map(Entry::Event));
            }
            Err(error) if error.is_infrastructure() => return Err(error.into()),
            Err(_) if self.limit > 1 => self.limit /= 2,
            Err(error) => self.step_over(&error, position).await?,
        }
        Ok(())
    }

    /// Steps over the next event, which cannot be read.
    async fn step_over(&mut self, error: &StoreError, position: Position) -> Result<(), Error> {
        let sql = "SELECT min(position) AS position FROM events WHERE position > $1";
        let rows = self.store.query(sql, params![self.read_to]).await?;
        let next = rows.first().map(|row| row.get::<Option<Position>>("position")).transpose()?.flatten();
        if let Some(position) = next {
            self.entries.push_back(Entry::Unreadable { position, reason: error.to_string() });
        }
        self.read_to = next.unwrap_or(position);
        Ok(())
    }
}
