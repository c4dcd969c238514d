//! What was read and what was not, by place, type and version.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Types told apart in one place; further ones are counted together (G13).
const ROWS_MAX: usize = 10_000;
/// What those are counted as.
const OTHERS: &str = "(further types)";

/// Where an event lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The log.
    Log,
    /// The dead letters, what is retried, and what is parked behind them.
    Letters,
    /// The topics of the embedded broker.
    Records,
}

impl Place {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Letters => "letters",
            Self::Records => "records",
        }
    }
}

/// The events of one type and version in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HistoryRow {
    /// Where.
    pub place: Place,
    /// The type, as it is stored.
    pub event: String,
    /// The version.
    pub version: u32,
    /// How many there are.
    pub events: u64,
    /// How many of them this build cannot read.
    pub unreadable: u64,
    /// Where the first of those lies.
    pub first: Option<String>,
    /// Why it cannot be read.
    pub reason: Option<String>,
}

/// Whether this build can read all of history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HistoryMatrix {
    /// By place, type and version.
    pub rows: Vec<HistoryRow>,
    #[serde(skip)]
    by_type: BTreeMap<(Place, String, u32), usize>,
}

impl HistoryMatrix {
    /// Whether every event can be read.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(|row| row.unreadable == 0)
    }

    /// How many events were read, or tried.
    pub fn events(&self) -> u64 {
        self.rows.iter().map(|row| row.events).sum()
    }

    /// How many events cannot be read.
    pub fn unreadable(&self) -> u64 {
        self.rows.iter().map(|row| row.unreadable).sum()
    }

    pub(super) fn count(
        &mut self,
        place: Place,
        (event, version): (&str, u32),
        read: Result<(), String>,
        at: impl FnOnce() -> String,
    ) {
        let known = self.by_type.get(&(place, event.to_owned(), version)).copied();
        let index = known.unwrap_or_else(|| self.add(place, event, version));
        let row = &mut self.rows[index];
        row.events += 1;
        if let Err(reason) = read {
            row.unreadable += 1;
            if row.first.is_none() {
                (row.first, row.reason) = (Some(at()), Some(reason));
            }
        }
    }

    fn add(&mut self, place: Place, event: &str, version: u32) -> usize {
        let (event, version) = if self.rows.len() < ROWS_MAX { (event, version) } else { (OTHERS, 0) };
        let rows = &mut self.rows;
        *self.by_type.entry((place, event.to_owned(), version)).or_insert_with(|| {
            rows.push(HistoryRow {
                place,
                event: event.to_owned(),
                version,
                events: 0,
                unreadable: 0,
                first: None,
                reason: None,
            });
            rows.len() - 1
        })
    }
}

/// What cannot be read, one line each, and the sum.
impl fmt::Display for HistoryMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows.iter().filter(|row| row.unreadable > 0) {
            let HistoryRow { place, event, version, events, unreadable, .. } = row;
            let (first, reason) = (row.first.as_deref().unwrap_or("?"), row.reason.as_deref().unwrap_or("?"));
            writeln!(
                f,
                "{event} v{version}: {unreadable} of {events} in the {} cannot be read; the first is at {first}: {reason}",
                place.name()
            )?;
        }
        match self.unreadable() {
            0 => writeln!(f, "this build reads all of {} events", self.events()),
            some => writeln!(f, "this build cannot read {some} of {} events", self.events()),
        }
    }
}
