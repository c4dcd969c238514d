//! Fills a new table from the log: rows are folded in memory over many pages, and most are written once.
//!
//! Invariants: nobody else writes the table. At most [`ROWS_MAX`] rows, of about [`BYTES_MAX`] bytes, are in memory (G13); of more,
//! those that were touched the longest ago are let go, to be written. A row that was let go is loaded again before an event is folded into it: no key
//! that may be in the table is missed by [`Seen`].

use super::fold::FoldRows;
use super::keys::Keys;
use super::rows::{Keyed, ModelRows};
use crate::handler::Failure;
use crate::handler::filling::{Filling, Unwritten};
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::Decoder;
use factstream_core::envelope::{Envelope, RecordedEvent};
use factstream_core::read_model::RowKey;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;

/// Rows in memory.
const ROWS_MAX: usize = 20_000;
/// About how many bytes they may take: a row is taken for as large as the events that were folded into it here, and as what was
/// loaded of it.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Rows written in one transaction: live writers wait for no more than these.
const ROWS_PER_WRITE: usize = 5_000;

/// An event that waits: decoded, with the keys of its rows and the bytes of its data.
type Waiting<R> = (Keys<Keyed<R>>, Envelope<<R as FoldRows>::Events>, usize);

/// The filling of a read model.
pub(crate) struct Fill<R: FoldRows> {
    decoder: Decoder,
    rows: HashMap<RowKey, Held<R>>,
    /// About how many bytes they take.
    bytes: usize,
    /// What waits.
    waiting: Vec<Waiting<R>>,
    /// Keys of what waits that may be in the table and are not in memory.
    wanted: HashSet<RowKey>,
    seen: Seen,
    /// Events folded so far: the clock of `Held::touched`.
    clock: u64,
    rows_max: usize,
    bytes_max: usize,
}

struct Held<R> {
    row: Option<R>,
    touched: u64,
    bytes: usize,
    /// Whether the table has a row of this key.
    stored: bool,
}

impl<R: FoldRows> Fill<R> {
    pub(crate) fn new(decoder: Decoder) -> Self {
        let (rows, waiting, wanted) = (HashMap::new(), Vec::new(), HashSet::new());
        Self {
            decoder,
            rows,
            bytes: 0,
            waiting,
            wanted,
            seen: Seen::new(),
            clock: 0,
            rows_max: ROWS_MAX,
            bytes_max: BYTES_MAX,
        }
    }

    fn envelope(&self, event: RecordedEvent) -> Result<Envelope<R::Events>, Failure> {
        let content = self.decoder.decode_recorded(&event)?;
        Ok(event.into_envelope()?.with(content))
    }

    /// The time up to which half of the rows were touched, or so many that the others take at most half of the bytes that may stay.
    fn half(&self) -> u64 {
        let mut touched: Vec<(u64, usize)> =
            self.rows.values().map(|held| (held.touched, held.bytes)).collect();
        touched.sort_unstable();
        let mut bytes = self.bytes;
        let enough = touched.iter().enumerate().find(|(at, (_, of))| {
            bytes -= of;
            *at >= touched.len() / 2 && bytes <= self.bytes_max / 2
        });
        enough.map_or(u64::MAX, |(_, (touched, _))| *touched)
    }

    fn fold_one(&mut self, (keys, envelope, bytes): Waiting<R>) -> Result<(), Failure> {
        self.clock += 1;
        let touched = self.clock;
        let mut fold = |(row_key, key): Keyed<R>| {
            let held =
                self.rows.entry(row_key).or_insert(Held { row: None, touched, bytes: 0, stored: false });
            held.touched = touched;
            held.bytes += bytes;
            self.bytes += bytes;
            held.row = ModelRows::<R>::fold(held.row.take(), &key, &envelope)?;
            Ok::<(), Failure>(())
        };
        match keys {
            Keys::None => Ok(()),
            Keys::One(keyed) => fold(keyed),
            Keys::Several(all) => all.into_iter().try_for_each(fold),
        }
    }
}

#[async_trait]
impl<R: FoldRows> Filling for Fill<R> {
    fn fold(&mut self, page: Vec<RecordedEvent>) -> Result<(), Failure> {
        for event in page {
            let bytes = event.data.len();
            let envelope = self.envelope(event)?;
            let keys = ModelRows::<R>::keys_of(&envelope)?;
            for (key, _) in keys.as_slice() {
                if self.seen.may_have(key) && !self.rows.contains_key(key) {
                    self.wanted.insert(key.clone());
                }
            }
            // Once one waits, those after it do, so that each row has its events in order.
            match self.wanted.is_empty() {
                true => self.fold_one((keys, envelope, bytes))?,
                false => self.waiting.push((keys, envelope, bytes)),
            }
        }
        Ok(())
    }

    fn wants_rows(&self) -> bool {
        !self.wanted.is_empty()
    }

    async fn load(&mut self, tx: &mut Tx) -> Result<(), Failure> {
        let found = ModelRows::<R>::load(&self.wanted, tx).await?;
        self.wanted.clear();
        let touched = self.clock;
        let bytes = found.bytes / found.rows.len().max(1);
        self.bytes += bytes * found.rows.len();
        self.rows.extend(found.rows.into_iter().map(|(key, row)| {
            let stored = row.is_some();
            (key, Held { row, touched, bytes, stored })
        }));
        for waiting in std::mem::take(&mut self.waiting) {
            self.fold_one(waiting)?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.len() > self.rows_max || self.bytes > self.bytes_max
    }

    fn let_go(&mut self, all: bool) -> Vec<Box<dyn Unwritten>> {
        let limit = if all { u64::MAX } else { self.half() };
        let mut gone: Vec<(RowKey, Held<R>)> =
            self.rows.extract_if(|_, held| held.touched <= limit).collect();
        self.bytes -= gone.iter().map(|(_, held)| held.bytes).sum::<usize>();
        gone.sort_unstable_by(|(one, _), (other, _)| one.cmp(other)); // neighbours in the key's index, too
        let mut unwritten: Vec<Box<dyn Unwritten>> = Vec::new();
        let mut gone = gone.into_iter().peekable();
        while gone.peek().is_some() {
            let mut part = Part::new();
            for (key, held) in gone.by_ref().take(ROWS_PER_WRITE) {
                self.seen.add(&key);
                part.add(key, held);
            }
            unwritten.push(Box::new(part));
        }
        unwritten
    }
}

struct Part<R> {
    fresh: Vec<R>,
    changed: Vec<R>,
    gone: Vec<RowKey>,
    table: PhantomData<fn() -> R>,
}

impl<R: FoldRows> Part<R> {
    fn new() -> Self {
        Self { fresh: Vec::new(), changed: Vec::new(), gone: Vec::new(), table: PhantomData }
    }

    fn add(&mut self, key: RowKey, held: Held<R>) {
        match (held.row, held.stored) {
            (Some(row), false) => self.fresh.push(row),
            (Some(row), true) => self.changed.push(row),
            (None, true) => self.gone.push(key),
            (None, false) => {}
        }
    }
}

#[async_trait]
impl<R: FoldRows> Unwritten for Part<R> {
    async fn write(self: Box<Self>, tx: &mut Tx) -> Result<(), Failure> {
        for (replace, rows) in [(false, self.fresh), (true, self.changed)] {
            let rows = rows.into_iter().map(R::into_row).collect::<Result<Vec<_>, _>>()?;
            let rows = ModelRows::<R>::table_rows(tx, replace, rows);
            tx.write_rows(rows).await?;
        }
        ModelRows::<R>::delete(&self.gone, tx).await
    }
}

/// Which keys may be in the table: no key that was added is denied, some that were not are taken for added.
///
/// A Bloom filter (B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970) of 8 MB and two bits a
/// key: of a million keys it takes one in a thousand others for one of them, of a hundred million nearly all, which costs a
/// look into the table.
struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    const BITS: u64 = 1 << 26;

    fn new() -> Self {
        Self { bits: vec![0; (Self::BITS / 64) as usize] }
    }

    fn places(key: &RowKey) -> [(usize, u64); 2] {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        [hash, hash >> 32].map(|part| {
            let bit = part % Self::BITS;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn add(&mut self, key: &RowKey) {
        for (word, bit) in Self::places(key) {
            self.bits[word] |= bit;
        }
    }

    fn may_have(&self, key: &RowKey) -> bool {
        Self::places(key).into_iter().all(|(word, bit)| self.bits[word] & bit != 0)
    }
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
