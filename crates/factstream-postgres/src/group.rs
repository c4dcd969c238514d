//! Appends that are committed together: what they need to know, what becomes of each, and what is written.
//!
//! Pure but for the statements: [`Known`] is what the server told under the counter's lock, or what is assumed until it says
//! otherwise; [`Group::decide`] gives each append its outcome, chained where two go to one stream, and collects the columns
//! to insert.

use crate::lost_commit::Mark;
use crate::statements::Statements;
use crate::values::{Json, Time};
use factstream_core::envelope::{NewEvent, Position, StreamId, Version};
use factstream_core::sql::{format_timestamp, now};
use factstream_core::store::{Append, Appended, CommandKey, Conflict, Expected, FirstUse, Outcome};
use std::borrow::Cow;
use std::collections::HashMap;
use tokio_postgres::{Error, GenericClient};
use uuid::Uuid;

/// What the appends depend on.
#[derive(Default)]
pub(crate) struct Known<'a> {
    head: Position,
    fence: i64,
    versions: HashMap<&'a StreamId, Version>,
    keys: HashMap<Cow<'a, str>, FirstUse>,
}

impl<'a> Known<'a> {
    /// Locks the counter, then reads the versions and keys: one exchange with the server, for the statements run there in
    /// this order, and each sees what was committed before it began.
    pub(crate) async fn read(
        tx: &(impl GenericClient + Sync),
        statements: &Statements,
        streams: &[&'a StreamId],
        keys: &[&CommandKey],
    ) -> Result<Self, Error> {
        let (types, ids): (Vec<&str>, Vec<&str>) =
            streams.iter().map(|stream| (stream.aggregate_type(), stream.id())).unzip();
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
        let versions = versions.iter().filter_map(|row| {
            let stream = streams.get(usize::try_from(row.get::<_, i64>(0) - 1).ok()?)?;
            Some((*stream, row.get::<_, i64>(1).cast_unsigned()))
        });
        let keys = first_uses.iter().filter_map(|row| {
            // Only valid ids are stored.
            let stream = StreamId::new(row.get::<_, String>(2), row.get::<_, String>(3)).ok()?;
            let (version, position) =
                (row.get::<_, i64>(4).cast_unsigned(), row.get::<_, i64>(5).cast_unsigned());
            let appended = Appended { stream, version, position };
            Some((Cow::Owned(row.get(0)), FirstUse { fingerprint: row.get(1), appended }))
        });
        Ok(Self {
            head: head.get::<_, i64>(0).cast_unsigned(),
            fence: head.get(1),
            versions: versions.collect(),
            keys: keys.collect(),
        })
    }

    /// Where the fence stood when this was read.
    pub(crate) fn fence(&self) -> i64 {
        self.fence
    }

    /// Assumes a stream to be at this version, should nothing be known of it. Whether nothing was.
    pub(crate) fn assume(&mut self, stream: &'a StreamId, version: Version) -> bool {
        let mut is_new = false;
        self.versions.entry(stream).or_insert_with(|| {
            is_new = true;
            version
        });
        is_new
    }
}

/// The columns of what is to be inserted.
#[derive(Default)]
pub(crate) struct Group<'a> {
    pub(crate) positions: Vec<i64>,
    pub(crate) types: Vec<&'a str>,
    pub(crate) ids: Vec<&'a str>,
    pub(crate) versions: Vec<i64>,
    pub(crate) event_ids: Vec<Uuid>,
    pub(crate) event_types: Vec<&'a str>,
    pub(crate) schema_versions: Vec<i64>,
    pub(crate) data: Vec<Json<'a>>,
    pub(crate) metadata: Vec<Json<'a>>,
    pub(crate) timestamps: Vec<Time>,
    pub(crate) keys: Keys<'a>,
}

#[derive(Default)]
pub(crate) struct Keys<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) fingerprints: Vec<&'a str>,
    pub(crate) types: Vec<&'a str>,
    pub(crate) ids: Vec<&'a str>,
    pub(crate) versions: Vec<i64>,
    pub(crate) positions: Vec<i64>,
}

impl<'a> Group<'a> {
    /// What becomes of one append; its events and key join the group when it is accepted.
    pub(crate) fn decide(
        &mut self,
        known: &mut Known<'a>,
        append: &'a Append,
        key: Option<&'a CommandKey>,
    ) -> Outcome {
        if let Some(first) = key.and_then(|key| Some((key, known.keys.get(key.key())?))) {
            let (key, first) = first;
            return key.again(&append.stream, first);
        }
        let Append { stream, expected, events } = append;
        let version = known.versions.entry(stream).or_default();
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
            self.keys.push(key, stream, &appended);
            let first = FirstUse { fingerprint: key.fingerprint().to_owned(), appended: appended.clone() };
            known.keys.insert(key.key().into(), first);
        }
        Outcome::Appended(appended)
    }

    fn push(&mut self, stream: &'a StreamId, version: Version, position: Position, event: &'a NewEvent) {
        self.positions.push(position.cast_signed());
        self.types.push(stream.aggregate_type());
        self.ids.push(stream.id());
        self.versions.push(version.cast_signed());
        self.event_ids.push(event.event_id);
        self.event_types.push(&event.event_type);
        self.schema_versions.push(event.schema_version.into());
        self.data.push(Json(&event.data));
        self.metadata.push(Json(&event.metadata));
        self.timestamps.push(Time(event.timestamp));
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.keys.names.is_empty()
    }

    /// What tells whether it was committed; `None` when it is empty.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let event = self.event_ids.first().map(|id| Mark::Event(*id));
        event.or_else(|| self.keys.names.first().map(|key| Mark::Key((*key).to_owned())))
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

impl<'a> Keys<'a> {
    fn push(&mut self, key: &'a CommandKey, stream: &'a StreamId, appended: &Appended) {
        self.names.push(key.key());
        self.fingerprints.push(key.fingerprint());
        self.types.push(stream.aggregate_type());
        self.ids.push(stream.id());
        self.versions.push(appended.version.cast_signed());
        self.positions.push(appended.position.cast_signed());
    }
}
