//! One append within a transaction: key, version, events. G2, G3 and G4 are decided here.
//!
//! Invariant: it runs under the write lock, so what it reads is the newest there is.

use factstream_core::envelope::{NewEvent, Position, StreamId, Version};
use factstream_core::sql::{format_timestamp, now};
use factstream_core::store::{Append, Appended, CommandKey, Conflict, Expected, FirstUse, Outcome};
use rusqlite::{CachedStatement, Connection, Error, ErrorCode, OptionalExtension, Result, params};
use uuid::fmt::Hyphenated;

/// The head of the log, within a transaction or outside.
pub(crate) fn head(connection: &Connection) -> Result<Position> {
    let mut select = connection.prepare_cached(include_str!("../sql/select_head.sql"))?;
    Ok(select.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// No stream is as long: SQLite's largest number.
const VERSION_MAX: Version = i64::MAX.cast_unsigned();

/// A statement that appends of one transaction share, from the first that needs it.
struct Shared<'c> {
    sql: &'static str,
    prepared: Option<CachedStatement<'c>>,
}

impl<'c> Shared<'c> {
    fn new(sql: &'static str) -> Self {
        Self { sql, prepared: None }
    }

    fn on(&mut self, connection: &'c Connection) -> Result<&mut CachedStatement<'c>> {
        Ok(match &mut self.prepared {
            Some(prepared) => prepared,
            none => none.insert(connection.prepare_cached(self.sql)?),
        })
    }
}

/// Appends within one transaction.
pub(crate) struct Appender<'c> {
    connection: &'c Connection,
    head: Position,
    insert: Shared<'c>,
    insert_next: Shared<'c>,
    select_version: Shared<'c>,
    /// Whether events were ever deleted. Only then may a stream reach further than its newest event.
    some_deleted: bool,
}

impl<'c> Appender<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        let mut end = connection.prepare_cached(include_str!("../sql/select_end.sql"))?;
        let (head, some_deleted) = end.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
        Ok(Self {
            connection,
            head: head.cast_unsigned(),
            some_deleted,
            insert: Shared::new(include_str!("../sql/insert_event.sql")),
            insert_next: Shared::new(include_str!("../sql/insert_next_event.sql")),
            select_version: Shared::new(include_str!("../sql/select_version.sql")),
        })
    }

    /// How far the log reaches, with what was appended here.
    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// Appends, or says why not. Nothing is written unless it is appended.
    pub(crate) fn append(&mut self, append: &Append, key: Option<&CommandKey>) -> Result<Outcome> {
        if let Some(key) = key
            && let Some(first) = first_use(self.connection, key)?
        {
            return Ok(key.again(&append.stream, &first));
        }
        let appended = match self.append_events(append)? {
            Ok(appended) => appended,
            Err(conflict) => return Ok(Outcome::Conflict(conflict)),
        };
        if let Some(key) = key {
            let mut insert = self.connection.prepare_cached(include_str!("../sql/insert_key.sql"))?;
            insert.execute(params![
                key.key(),
                key.fingerprint(),
                append.stream.aggregate_type(),
                append.stream.id(),
                appended.version.cast_signed(),
                appended.position.cast_signed(),
                format_timestamp(now())
            ])?;
        }
        Ok(Outcome::Appended(appended))
    }

    /// The events alone. The inner error is a conflict.
    pub(crate) fn append_events(&mut self, append: &Append) -> Result<Result<Appended, Conflict>> {
        let Append { stream, expected, events } = append;
        // Nobody looks first how far the stream reaches: a version can be taken only once, and only behind the one before it.
        let checked_by_insert = !events.is_empty() && !self.some_deleted;
        let mut version = match *expected {
            Expected::Exact(version) if checked_by_insert && version < VERSION_MAX => version,
            _ => self.version_of(stream)?,
        };
        if let Expected::Exact(expected) = *expected
            && expected != version
        {
            return Ok(Err(Conflict { stream: stream.clone(), expected, actual: version }));
        }
        for event in events {
            let is_first = *expected == Expected::Exact(version) && checked_by_insert;
            let inserted = self.insert(stream, version + 1, event, is_first);
            if inserted.as_ref().is_err_and(|error| is_first && is_constraint(error)) {
                let actual = self.version_of(stream)?;
                if actual != version {
                    return Ok(Err(Conflict { stream: stream.clone(), expected: version, actual }));
                }
            }
            inserted?;
            version += 1;
            self.head += 1;
        }
        Ok(Ok(Appended { stream: stream.clone(), version, position: self.head }))
    }

    fn insert(
        &mut self,
        stream: &StreamId,
        version: Version,
        event: &NewEvent,
        checks_version: bool,
    ) -> Result<()> {
        let mut id = [0; Hyphenated::LENGTH];
        let insert = if checks_version && version > 1 { &mut self.insert_next } else { &mut self.insert };
        insert.on(self.connection)?.execute(params![
            (self.head + 1).cast_signed(),
            stream.aggregate_type(),
            stream.id(),
            version.cast_signed(),
            &*event.event_id.as_hyphenated().encode_lower(&mut id),
            event.event_type,
            event.schema_version,
            &*event.data,
            &*event.metadata,
            format_timestamp(event.timestamp)
        ])?;
        Ok(())
    }

    fn version_of(&mut self, stream: &StreamId) -> Result<Version> {
        let version = self
            .select_version
            .on(self.connection)?
            .query_row([stream.aggregate_type(), stream.id()], |row| row.get::<_, i64>(0))
            .optional()?;
        let version = version.unwrap_or(0).cast_unsigned();
        match self.some_deleted {
            true => Ok(version.max(self.horizon_of(stream)?)),
            false => Ok(version),
        }
    }

    fn horizon_of(&self, stream: &StreamId) -> Result<Version> {
        let mut select = self.connection.prepare_cached(include_str!("../sql/select_horizon.sql"))?;
        let horizon = select
            .query_row([stream.aggregate_type(), stream.id()], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(horizon.unwrap_or(0).cast_unsigned())
    }
}

fn is_constraint(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

fn first_use(connection: &Connection, key: &CommandKey) -> Result<Option<FirstUse>> {
    let sql = "SELECT fingerprint, aggregate_type, aggregate_id, version, position FROM fs_command_keys WHERE key = ?1";
    let mut select = connection.prepare_cached(sql)?;
    let found = select
        .query_row([key.key()], |row| {
            let (aggregate_type, id): (String, String) = (row.get(1)?, row.get(2)?);
            let (version, position): (i64, i64) = (row.get(3)?, row.get(4)?);
            Ok((
                row.get::<_, String>(0)?,
                aggregate_type,
                id,
                version.cast_unsigned(),
                position.cast_unsigned(),
            ))
        })
        .optional()?;
    let Some((fingerprint, aggregate_type, id, version, position)) = found else { return Ok(None) };
    let stream = StreamId::new(aggregate_type, id).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok(Some(FirstUse { fingerprint, appended: Appended { stream, version, position } }))
}
