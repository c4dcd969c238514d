//! Appends that are committed together: what they need to know, what becomes of each, and what is written.
//!
//! Pure but for the statements: [`Known`] is what the server told under the counter's lock, [`Group::decide`] gives each
//! append its outcome, chained where two go to one stream, and collects the columns to insert.

use crate::lost_commit::Mark;
use crate::statements::Statements;
use crate::values::Time;
use factstream_core::envelope::{NewEvent, Position, StreamId, Version};
use factstream_core::sql::{format_timestamp, now};
use factstream_core::store::{Append, Appended, CommandKey, Conflict, Expected, Outcome};
use std::collections::HashMap;
use tokio_postgres::{Error, GenericClient};
use uuid::Uuid;

/// What the server knows that the appends depend on.
pub(crate) struct Known {
    head: Position,
    versions: HashMap<(String, String), Version>,
    keys: HashMap<String, FirstUse>,
}

#[derive(Clone)]
struct FirstUse {
    fingerprint: String,
    appended: Option<Appended>,
}

impl Known {
    /// Locks the counter, then reads the versions and keys: one exchange with the server, for the statements run there in
    /// this order, and each sees what was committed before it began.
    pub(crate) async fn read(
        tx: &(impl GenericClient + Sync),
        statements: &Statements,
        streams: &[&StreamId],
        keys: &[&CommandKey],
    ) -> Result<Self, Error> {
        let (types, ids): (Vec<&str>, Vec<&str>) =
            streams.iter().map(|stream| (stream.category(), stream.id())).unzip();
        let keys: Vec<&str> = keys.iter().map(|key| key.key()).collect();
        let first_uses = async {
            match keys.is_empty() {
                true => Ok(Vec::new()),
                false => tx.query(&statements.select_keys, &[&keys]).await,
            }
        };
        let (head, versions, first_uses) = futures_util::future::try_join3(
            tx.query_one(&statements.lock, &[]),
            tx.query(&statements.select_versions, &[&types, &ids]),
            first_uses,
        )
        .await?;
        let versions = versions.iter().map(|row| {
            let stream = (row.get::<_, String>(0), row.get::<_, String>(1));
            (stream, row.get::<_, i64>(2).cast_unsigned())
        });
        let keys = first_uses.iter().map(|row| {
            let appended =
                StreamId::new(row.get::<_, String>(2), row.get::<_, String>(3)).ok().map(|stream| Appended {
                    stream,
                    version: row.get::<_, i64>(4).cast_unsigned(),
                    position: row.get::<_, i64>(5).cast_unsigned(),
                });
            (row.get::<_, String>(0), FirstUse { fingerprint: row.get(1), appended })
        });
        Ok(Self {
            head: head.get::<_, i64>(0).cast_unsigned(),
            versions: versions.collect(),
            keys: keys.collect(),
        })
    }
}

/// The columns of what is to be inserted.
#[derive(Default)]
pub(crate) struct Group {
    positions: Vec<i64>,
    types: Vec<String>,
    ids: Vec<String>,
    versions: Vec<i64>,
    event_ids: Vec<Uuid>,
    event_types: Vec<String>,
    schema_versions: Vec<i64>,
    data: Vec<String>,
    metadata: Vec<String>,
    timestamps: Vec<Time>,
    keys: Keys,
}

#[derive(Default)]
struct Keys {
    names: Vec<String>,
    fingerprints: Vec<String>,
    types: Vec<String>,
    ids: Vec<String>,
    versions: Vec<i64>,
    positions: Vec<i64>,
}

impl Group {
    /// What becomes of one append; its events and key join the group when it is accepted.
    pub(crate) fn decide(&mut self, known: &mut Known, append: &Append, key: Option<&CommandKey>) -> Outcome {
        if let Some(first) = key.and_then(|key| Some((key, known.keys.get(key.key())?))) {
            let (key, FirstUse { fingerprint, appended }) = first;
            return match appended {
                Some(appended) if fingerprint == key.fingerprint() => Outcome::Repeated(appended.clone()),
                _ => Outcome::KeyReused { key: key.key().to_owned(), first_used_for: fingerprint.clone() },
            };
        }
        let Append { stream, expected, events } = append;
        let version =
            known.versions.entry((stream.category().to_owned(), stream.id().to_owned())).or_default();
        if let Expected::Exact(expected) = *expected
            && expected != *version
        {
            return Outcome::Conflict(Conflict { stream: stream.clone(), expected, actual: *version });
        }
        for event in events {
            *version += 1;
            known.head += 1;
            self.push(stream, *version, known.head, event);
        }
        let appended = Appended { stream: stream.clone(), version: *version, position: known.head };
        if let Some(key) = key {
            self.keys.push(key, &appended);
            let first =
                FirstUse { fingerprint: key.fingerprint().to_owned(), appended: Some(appended.clone()) };
            known.keys.insert(key.key().to_owned(), first);
        }
        Outcome::Appended(appended)
    }

    fn push(&mut self, stream: &StreamId, version: Version, position: Position, event: &NewEvent) {
        self.positions.push(position.cast_signed());
        self.types.push(stream.category().to_owned());
        self.ids.push(stream.id().to_owned());
        self.versions.push(version.cast_signed());
        self.event_ids.push(event.event_id);
        self.event_types.push(event.event_type.clone());
        self.schema_versions.push(event.schema_version.into());
        self.data.push(event.data.clone());
        self.metadata.push(event.metadata.clone());
        self.timestamps.push(Time(event.timestamp));
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.keys.names.is_empty()
    }

    /// What tells whether it was committed; `None` when it is empty.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let event = self.event_ids.first().map(|id| Mark::Event(*id));
        event.or_else(|| self.keys.names.first().map(|key| Mark::Key(key.clone())))
    }

    /// The head of the log after it.
    pub(crate) fn head(&self) -> Option<Position> {
        self.positions.last().map(|position| position.cast_unsigned())
    }

    /// Inserts it all, moves the counter and, when there are events, says so to who listens: one exchange with the server.
    pub(crate) async fn write(
        &self,
        tx: &(impl GenericClient + Sync),
        statements: &Statements,
        notify: bool,
    ) -> Result<(), Error> {
        let Keys { names, fingerprints, types, ids, versions, positions } = &self.keys;
        let at = format_timestamp(now());
        let events = async {
            match self.positions.last() {
                None => Ok(0),
                Some(head) => {
                    tx.execute(
                        &statements.insert_events,
                        &[
                            &self.positions,
                            &self.types,
                            &self.ids,
                            &self.versions,
                            &self.event_ids,
                            &self.event_types,
                            &self.schema_versions,
                            &self.data,
                            &self.metadata,
                            &self.timestamps,
                            head,
                        ],
                    )
                    .await
                }
            }
        };
        let keys = async {
            match names.is_empty() {
                true => Ok(0),
                false => {
                    tx.execute(
                        &statements.insert_keys,
                        &[names, fingerprints, types, ids, versions, positions, &at],
                    )
                    .await
                }
            }
        };
        let hint = async {
            match self.positions.last() {
                Some(head) if notify => tx.execute(&statements.notify, &[head]).await,
                _ => Ok(0),
            }
        };
        futures_util::future::try_join3(events, keys, hint).await.map(|_| ())
    }
}

impl Keys {
    fn push(&mut self, key: &CommandKey, appended: &Appended) {
        self.names.push(key.key().to_owned());
        self.fingerprints.push(key.fingerprint().to_owned());
        self.types.push(appended.stream.category().to_owned());
        self.ids.push(appended.stream.id().to_owned());
        self.versions.push(appended.version.cast_signed());
        self.positions.push(appended.position.cast_signed());
    }
}
