//! Compares the log with its seals, and these with checkpoints from elsewhere.
//!
//! Invariants: events are compared with the leaves that stand, one by one, so that a finding has a position. Leaves are compared with
//! the roots, and roots with the checkpoints, so that leaves which were changed with their events are found, too. Memory is bounded:
//! a few seals and a stretch of the log at a time.

use super::checkpoint::Checkpoint;
use super::leaf::{self, Hash, NO_SALT, Salt};
use super::log::{Entry, Log};
use super::report::{Compared, Finding, Verification};
use super::rows::{self, Seal};
use super::tree::Tree;
use crate::error::Error;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::store::Store;
use std::collections::VecDeque;

/// Seals that are read at once, of up to 48 KiB each.
const SEALS_MAX: u64 = 32;
/// Events that are not as they were sealed, of which it is tried whether they were sealed at another position.
const SUSPECTS_MAX: usize = 64;

/// How far verifying has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The log is compared up to here.
    pub position: Position,
    /// Where it ended at the beginning.
    pub head: Position,
}

/// Compares a whole log. The checkpoints are of this log, by their sizes.
pub(super) async fn verify(
    store: &dyn Store,
    head: Position,
    checkpoints: Vec<Checkpoint>,
    mut progress: impl FnMut(Progress),
) -> Result<Verification, Error> {
    let mut verifier = Verifier::new(checkpoints);
    let mut log = Log::new(store);
    verifier.report.head = head;
    loop {
        let seals = rows::beyond(store, verifier.read_to, SEALS_MAX).await?;
        if seals.is_empty() {
            return Ok(verifier.end());
        }
        for seal in seals {
            verifier.compare(&seal, &mut log).await?;
            progress(Progress { position: seal.size, head });
        }
    }
}

/// A position whose event is not the one that was sealed there.
struct Suspect {
    position: Position,
    leaf: Hash,
    salt: Salt,
    event: Option<RecordedEvent>,
}

struct Verifier {
    report: Verification,
    /// Up to where rows were read.
    read_to: Position,
    /// The tree over the leaves so far; `None` where seals are missing.
    tree: Option<Tree>,
    /// Those that are still to come.
    checkpoints: VecDeque<Checkpoint>,
    matches_to: Position,
    suspects: Vec<Suspect>,
}

impl Verifier {
    fn new(checkpoints: Vec<Checkpoint>) -> Self {
        let mut verifier = Self {
            report: Verification::default(),
            read_to: 0,
            tree: Some(Tree::default()),
            checkpoints: checkpoints.into(),
            matches_to: 0,
            suspects: Vec::new(),
        };
        verifier.compare_checkpoints(0);
        verifier
    }

    /// Compares one row with the log.
    async fn compare(&mut self, seal: &Seal, log: &mut Log<'_>) -> Result<(), Error> {
        let (first, size) = (seal.first(), seal.size);
        if first > self.read_to + 1 {
            self.report.add(Finding::SealsRemoved { position: self.read_to + 1, to: first - 1 });
            self.tree = None;
        }
        let is_torn = first <= self.read_to || seal.leaves.is_empty();
        if is_torn {
            self.tree = None;
        } else {
            self.compare_events(seal, log).await?;
        }
        for (position, leaf) in (first..=size).zip(&seal.leaves) {
            if let Some(tree) = &mut self.tree {
                tree.push(*leaf);
            }
            self.compare_checkpoints(position);
        }
        let stands = Tree::of(size, &seal.peaks).filter(|tree| tree.root()[..] == seal.root);
        let is_as_written = match &self.tree {
            Some(tree) => stands.as_ref() == Some(tree),
            None => stands.is_some() && !is_torn, // what was before it is not known
        };
        if !is_as_written {
            self.report
                .add(Finding::SealChanged { position: first.max(self.read_to + 1).min(size), to: size });
        }
        // The next rows are compared with what this one says, so that each finding is where it belongs.
        self.tree = stands;
        self.read_to = size;
        Ok(())
    }

    async fn compare_events(&mut self, seal: &Seal, log: &mut Log<'_>) -> Result<(), Error> {
        let first = seal.first();
        if seal.salts.is_none() {
            self.report.add(Finding::SaltsRemoved { position: first, to: seal.size });
        }
        for (at, (position, leaf)) in (first..=seal.size).zip(&seal.leaves).enumerate() {
            let entry = log.at(position).await?;
            let salt = seal.salts.as_ref().map(|salts| salts[at]);
            self.compare_event(position, leaf, salt, entry);
        }
        Ok(())
    }

    fn compare_event(&mut self, position: Position, leaf: &Hash, salt: Option<Salt>, entry: Option<Entry>) {
        let was_absent = *leaf == leaf::of_nothing(position);
        let event = match (entry, salt) {
            (None, _) if was_absent => return self.report.absent += 1,
            (None, _) => None,
            (Some(Entry::Unreadable { reason, .. }), _) => {
                return self.report.add(Finding::Unreadable { position, reason });
            }
            (Some(Entry::Event(_)), None) if !was_absent => return, // told of the whole row
            (Some(Entry::Event(_)), Some(NO_SALT)) if !was_absent => return self.report.erased(position),
            (Some(Entry::Event(event)), Some(salt)) if leaf::of_event(&event, &salt) == *leaf => {
                return self.report.intact += 1;
            }
            (Some(Entry::Event(event)), _) => Some(event),
        };
        self.report.add(match &event {
            None => Finding::Removed { position },
            Some(_) if was_absent => Finding::Added { position },
            Some(_) => Finding::Changed { position },
        });
        if self.suspects.len() < SUSPECTS_MAX {
            self.suspects.push(Suspect { position, leaf: *leaf, salt: salt.unwrap_or(NO_SALT), event });
        }
    }

    /// Compares the tree with the checkpoints of this size.
    fn compare_checkpoints(&mut self, size: Position) {
        while let Some(checkpoint) = self.checkpoints.pop_front_if(|next| next.size() <= size) {
            let root = self.tree.as_ref().filter(|tree| tree.size() == checkpoint.size()).map(Tree::root);
            let matches = root.as_ref() == Some(checkpoint.root());
            let was_well = self.report.checkpoints.iter().all(|compared| compared.matches);
            if matches {
                self.matches_to = self.matches_to.max(checkpoint.size());
            } else if was_well {
                let (position, to) = (self.matches_to + 1, checkpoint.size());
                self.report.add(Finding::Rewritten { position, to });
            }
            self.report.checkpoints.push(Compared { size: checkpoint.size(), matches });
        }
    }

    fn end(mut self) -> Verification {
        self.report.sealed_to = self.read_to;
        if let Some(largest) = self.checkpoints.back() {
            self.report.add(Finding::Cut { position: self.read_to + 1, to: largest.size() });
        }
        let beyond = self.checkpoints.iter().map(|of| Compared { size: of.size(), matches: false });
        self.report.checkpoints.extend(beyond);
        for suspect in &self.suspects {
            let Some(event) = &suspect.event else { continue };
            let is_of = |other: &&Suspect| leaf::at(other.position, event, &other.salt) == other.leaf;
            if let Some(home) = self.suspects.iter().find(is_of) {
                self.report.moved(suspect.position, home.position);
            }
        }
        self.report.findings.sort_by_key(Finding::position);
        self.report
    }
}
