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

/// Reads the log from its beginning.
pub(super) struct Log<'a> {
    store: &'a dyn Store,
    entries: VecDeque<Entry>,
    read_to: Position,
    /// How many events are asked for: fewer around one that cannot be read.
    limit: usize,
    is_at_end: bool,
}

impl<'a> Log<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, entries: VecDeque::new(), read_to: 0, limit: READ_MAX, is_at_end: false }
    }

    /// What is not taken yet, up to a position.
    pub(super) async fn take_to(&mut self, position: Position) -> Result<Vec<Entry>, Error> {
        while self.read_to < position && !self.is_at_end {
            self.read_on().await?;
        }
        let count = self.entries.partition_point(|entry| entry.position() <= position);
        Ok(self.entries.drain(..count).collect())
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        match self.store.read_log(self.read_to, self.limit).await {
            Ok(events) => {
                self.limit = (self.limit * 2).min(READ_MAX);
                match events.last() {
                    Some(last) => self.read_to = last.position,
                    None => self.is_at_end = true,
                }
                self.entries.extend(events.into_iter().map(Entry::Event));
            }
            Err(error) if error.is_infrastructure() => return Err(error.into()),
            Err(_) if self.limit > 1 => self.limit /= 2,
            Err(error) => self.step_over(&error).await?,
        }
        Ok(())
    }

    /// Steps over the next event, which cannot be read.
    async fn step_over(&mut self, error: &StoreError) -> Result<(), Error> {
        let sql = "SELECT min(position) AS position FROM events WHERE position > $1";
        let rows = self.store.query(sql, params![self.read_to]).await?;
        match rows.first().map(|row| row.get::<Option<Position>>("position")).transpose()?.flatten() {
            Some(position) => {
                self.entries.push_back(Entry::Unreadable { position, reason: error.to_string() });
                self.read_to = position;
            }
            None => self.is_at_end = true,
        }
        Ok(())
    }
}
