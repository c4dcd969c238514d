//! Streams that are read ahead, many in one trip: what the first look at each begins with. A batch that puts commands to many aggregates
//! would else wait for the database once or twice for each.
//!
//! Invariants: bounded in streams and events (G13). Only whole streams are kept: what is read ahead is what the look would have read. What is
//! decided on it is checked by the append, as always (G2).

use super::Tx;
use crate::error::Error;
use crate::statements as sql;
use factstream_core::envelope::{RecordedEvent, StreamId, Version};
use factstream_core::params;
use factstream_core::sql::Row;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Streams that one statement names, a power of two.
const STREAMS_PER_QUERY: usize = 128;
/// Events that one statement reads at most.
const EVENTS_PER_QUERY: usize = 256;
/// Streams that are kept at most.
const STREAMS_MAX: usize = 1_024;

/// All that there is of a stream after a version.
pub(super) struct Ahead {
    pub(super) after: Version,
    pub(super) events: Vec<RecordedEvent>,
    /// How far it reached, if its events were deleted and there are none.
    pub(super) horizon: Vec<Row>,
}

impl Tx {
    /// Reads streams that will be looked at. Those that are long are left to the look.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn read_ahead(
        &mut self,
        streams: impl IntoIterator<Item = StreamId>,
    ) -> Result<(), Error> {
        let mut by_type: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for stream in streams.into_iter().take(STREAMS_MAX) {
            if !self.states.contains_key(&stream) {
                by_type.entry(stream.aggregate_type().into()).or_default().insert(stream.id().into());
            }
        }
        self.ahead.clear();
        for (aggregate_type, ids) in by_type {
            let ids: Vec<String> = ids.into_iter().collect();
            // Of a single one, the look reads as fast.
            for part in ids.chunks(STREAMS_PER_QUERY).filter(|part| part.len() > 1) {
                self.read_part(&aggregate_type, part).await?;
            }
        }
        Ok(())
    }

    async fn read_part(&mut self, aggregate_type: &str, ids: &[String]) -> Result<(), Error> {
        let mut wanted = HashMap::with_capacity(ids.len());
        for id in ids {
            let stream = StreamId::new(aggregate_type, id.as_str())?;
            let after = self.kernel.states.cached_version(&stream);
            wanted.insert(id.as_str(), (stream, after));
        }
        let mut params = params![aggregate_type, EVENTS_PER_QUERY];
        params.extend(wanted.iter().flat_map(|(id, (_, after))| [(*id).into(), (*after).into()]));
        // Padded to a power of two, so that there are few statements to prepare. No stream has an empty id.
        let padded = wanted.len().next_power_of_two();
        params.extend((wanted.len()..padded).flat_map(|_| ["".into(), 0_u64.into()]));
        let rows = self.rows.inner().query(&select_streams(padded), params).await;
        let mut found: HashMap<String, Vec<RecordedEvent>> = HashMap::new();
        let (mut last, mut read) = (None, 0);
        for row in self.rows.noted(rows)? {
            let event = sql::recorded_event(&row)?;
            read += 1;
            last = Some(event.aggregate_id.clone());
            found.entry(event.aggregate_id.clone()).or_default().push(event);
        }
        if read == EVENTS_PER_QUERY {
            // There may be more: of those that were not reached nothing is known, and the last one may go on.
            wanted.retain(|id, _| found.contains_key(*id) && last.as_deref() != Some(*id));
        }
        let empty: Vec<&str> = wanted
            .iter()
            .filter(|(id, (_, after))| *after == 0 && !found.contains_key(**id))
            .map(|(id, _)| *id)
            .collect();
        let mut horizons = self.read_horizons(aggregate_type, &empty).await?;
        for (id, (stream, after)) in wanted {
            let events = found.remove(id).unwrap_or_default();
            let horizon = horizons.remove(id).into_iter().collect();
            self.ahead.insert(stream, Ahead { after, events, horizon });
        }
        Ok(())
    }

    async fn read_horizons(
        &mut self,
        aggregate_type: &str,
        ids: &[&str],
    ) -> Result<HashMap<String, Row>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let (statement, params) = sql::with_ids(sql::SELECT_HORIZONS, params![aggregate_type], ids);
        let rows = self.rows.inner().query(&statement, params).await;
        let rows = self.rows.noted(rows)?.into_iter();
        rows.map(|row| Ok((row.get("aggregate_id")?, row))).collect()
    }
}

fn select_streams(streams: usize) -> String {
    let each = |at: usize| format!("(CAST(${at} AS TEXT), CAST(${} AS BIGINT))", at + 1);
    let streams: Vec<String> = (0..streams).map(|at| each(3 + at * 2)).collect();
    sql::SELECT_STREAMS.replace("{streams}", &streams.join(", "))
}
