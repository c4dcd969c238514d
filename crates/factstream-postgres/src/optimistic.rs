//! Appends in one exchange with the server: one statement, a transaction by itself, that takes all of them or none.
//!
//! What the appends expect is assumed, and the statement checks it under the counter's lock: the streams' versions on its snapshot, and
//! by the rule of unique versions whatever was committed after that. Nothing has to be known beforehand, so a statement can be
//! sent while another is on its way. A statement on a connection that is then lost may still be read by the server: the fence
//! in it sees to it that it is refused once somebody has asked for it (`lost_commit`).

use crate::error::of_statement;
use crate::group::{Group, Keys, Known};
use crate::lost_commit::Mark;
use crate::options::Options;
use crate::pending::{Attempted, PendingAppend};
use crate::purpose::Purpose;
use crate::session::Session;
use crate::shared::Shared;
use crate::statements::{APPEND, append_without_keys};
use factstream_core::envelope::{Position, StreamId};
use factstream_core::sql::{format_timestamp, now};
use factstream_core::store::{Appended, Outcome, StoreError};
use futures_util::future::try_join;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

/// A connection of its own, on which nothing is ever pending but these statements.
pub(crate) struct Optimistic {
    session: Session,
    append: Statement,
    append_keyed: Statement,
}

impl Optimistic {
    pub(crate) async fn connect(shared: &Shared, options: &Options) -> Result<Self, StoreError> {
        let session = Session::open(&shared.server, options, Purpose::Append, None).await?;
        shared.knowledge.reached(session.timeline.as_deref());
        let append = append_without_keys();
        let (append, append_keyed) = try_join(session.prepare(&append), session.prepare(APPEND))
            .await
            .map_err(|error| of_statement("append", &error))?;
        Ok(Self { session, append, append_keyed })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    pub(crate) async fn is_alive(&self) -> bool {
        self.session.is_alive().await
    }

    /// As the session's.
    pub(crate) fn unreplicated(&self) -> u64 {
        self.session.unreplicated()
    }

    /// The head after the appends; nothing when they were refused.
    pub(crate) async fn commit(
        &self,
        assumed: &Assumed<'_>,
        fence: i64,
        announced: bool,
    ) -> Result<Option<Position>, Error> {
        let Assumed { types, ids, versions, group, .. } = assumed;
        let events = group.positions.len() as i64;
        let at = format_timestamp(now());
        let Keys { names, fingerprints, types: key_types, ids: key_ids, versions: key_versions, positions } =
            &group.keys;
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![
            &group.positions,
            &group.types,
            &group.ids,
            &group.versions,
            &group.event_ids,
            &group.event_types,
            &group.schema_versions,
            &group.data,
            &group.metadata,
            &group.timestamps,
            types,
            ids,
            versions,
            &events,
            &fence,
            &announced,
        ];
        let keys: [&(dyn ToSql + Sync); 7] =
            [names, fingerprints, key_types, key_ids, key_versions, positions, &at];
        let statement = if names.is_empty() {
            &self.append
        } else {
            params.extend(keys);
            &self.append_keyed
        };
        let head = self.session.query_opt(statement, &params).await?;
        Ok(head.map(|row| row.get::<_, i64>(0).cast_unsigned()))
    }
}

/// Appends and what they expect of their streams. Their places are counted from the head, wherever it will be.
#[derive(Default)]
pub(crate) struct Assumed<'a> {
    types: Vec<&'a str>,
    ids: Vec<&'a str>,
    versions: Vec<i64>,
    group: Group<'a>,
    /// For each append, what it has come to if the statement takes them; nothing for one that is not in it.
    appended: Vec<Option<Appended>>,
}

impl<'a> Assumed<'a> {
    /// Each append with the version that its stream is assumed to be at; of several to one stream the first says it.
    pub(crate) fn new(appends: &'a [Attempted]) -> Self {
        let (mut assumed, mut known) = (Self::default(), Known::default());
        for (PendingAppend { append, key, .. }, version) in appends {
            if known.assume(&append.stream, *version) {
                assumed.expect(&append.stream, version.cast_signed());
            }
            assumed.appended.push(match assumed.group.decide(&mut known, append, key.as_ref()) {
                Outcome::Appended(appended) => Some(appended),
                _ => None,
            });
        }
        assumed
    }

    fn expect(&mut self, stream: &'a StreamId, version: i64) {
        self.types.push(stream.aggregate_type());
        self.ids.push(stream.id());
        self.versions.push(version);
    }

    /// What tells whether they were committed; nothing when there is nothing to commit.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.group.mark()
    }

    /// The head after them, from the position that their mark was found at.
    pub(crate) fn head(&self, mark: Position) -> Position {
        let Group { positions, keys, .. } = &self.group;
        let place = positions.first().or(keys.positions.first()).copied().unwrap_or_default();
        (mark + positions.len() as u64).saturating_sub(place.cast_unsigned())
    }

    /// What became of each append, now that the log's head is known. Nothing for one that was not in the statement.
    pub(crate) fn outcomes(self, head: Position) -> impl Iterator<Item = Option<Outcome>> + use<'a> {
        let before = head - self.group.positions.len() as u64;
        self.appended.into_iter().map(move |appended| {
            let mut appended = appended?;
            appended.position += before;
            Some(Outcome::Appended(appended))
        })
    }
}
