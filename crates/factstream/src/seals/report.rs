//! What verifying found, for people and for programs.

use factstream_core::envelope::Position;
use serde::Serialize;
use std::fmt;

/// How many findings a report names; it counts all.
pub const FINDINGS_MAX: usize = 100;
/// How many erased events a report names; it counts all.
pub const ERASED_MAX: usize = 1_000;

/// What [`Seals::verify`](super::Seals::verify) found.
///
/// Its `Display` says the same for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Up to which position the log is sealed. What lies behind it was not looked at.
    pub sealed_to: Position,
    /// The newest event.
    pub head: Position,
    /// How many events are as they were when they were sealed.
    pub intact: u64,
    /// How many events nothing is known of any more, because their salts were destroyed: compare with the erasures that you know of.
    pub erased: u64,
    /// Where they are: the first [`ERASED_MAX`].
    pub erased_positions: Vec<Position>,
    /// How many positions had no event any more when they were sealed.
    pub absent: u64,
    /// What is not as it was, in the order of positions: the first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are.
    pub found: u64,
    /// The checkpoints from elsewhere that the log was compared with, by their sizes.
    pub checkpoints: Vec<Compared>,
}

/// A checkpoint from elsewhere, and whether the log has its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Compared {
    /// How many positions it stands for.
    pub size: Position,
    /// Whether the seals lead to it.
    pub matches: bool,
}

/// One thing that is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// The event at this position is not the one that was sealed: one of its columns was changed.
    Changed {
        /// Where.
        position: Position,
    },
    /// The event at this position cannot be read.
    Unreadable {
        /// Where.
        position: Position,
        /// What the store says.
        reason: String,
    },
    /// The event that was sealed at this position is gone.
    Removed {
        /// Where it was.
        position: Position,
    },
    /// There is an event at a position that had none when it was sealed.
    Added {
        /// Where.
        position: Position,
    },
    /// The event at this position was sealed at another one.
    Moved {
        /// Where it is now.
        position: Position,
        /// Where it was sealed.
        sealed_at: Position,
    },
    /// Positions without a seal between sealed ones: rows of `fs_seals` were removed.
    SealsRemoved {
        /// The first position.
        position: Position,
        /// The last.
        to: Position,
    },
    /// A row of `fs_seals` is not as it was written: its leaves do not lead to its root.
    SealChanged {
        /// The first position of the row.
        position: Position,
        /// The last.
        to: Position,
    },
    /// The salts of a row are gone or not as many as its leaves: its events cannot be compared.
    SaltsRemoved {
        /// The first position of the row.
        position: Position,
        /// The last.
        to: Position,
    },
    /// The seals lead to another root than the checkpoint from elsewhere: events were changed, and the seals written anew so that they
    /// fit. It was somewhere in these positions, as far as checkpoints tell; if there are other findings in them, it was there.
    Rewritten {
        /// The first position behind the last checkpoint that matches.
        position: Position,
        /// The size of the checkpoint.
        to: Position,
    },
    /// The checkpoint from elsewhere stands for more positions than are sealed: the end of the log, or of its seals, was cut off.
    Cut {
        /// The first position that is missing.
        position: Position,
        /// The size of the checkpoint.
        to: Position,
    },
}

impl Finding {
    /// The first position that it concerns.
    pub fn position(&self) -> Position {
        match self {
            Self::Changed { position }
            | Self::Unreadable { position, .. }
            | Self::Removed { position }
            | Self::Added { position }
            | Self::Moved { position, .. }
            | Self::SealsRemoved { position, .. }
            | Self::SealChanged { position, .. }
            | Self::SaltsRemoved { position, .. }
            | Self::Rewritten { position, .. }
            | Self::Cut { position, .. } => *position,
        }
    }
}

impl Verification {
    /// Whether nothing was found, and every checkpoint matches.
    pub fn passes(&self) -> bool {
        self.found == 0
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    pub(super) fn erased(&mut self, position: Position) {
        self.erased += 1;
        if self.erased_positions.len() < ERASED_MAX {
            self.erased_positions.push(position);
        }
    }

    /// The event that was found at this position was sealed at another one.
    pub(super) fn moved(&mut self, position: Position, sealed_at: Position) {
        let of_event = |finding: &&mut Finding| matches!(finding, Finding::Changed { position: at } | Finding::Added { position: at } if *at == position);
        if let Some(finding) = self.findings.iter_mut().find(of_event) {
            *finding = Finding::Moved { position, sealed_at };
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { position } => write!(f, "position {position}: the event was changed"),
            Self::Unreadable { position, reason } => {
                write!(f, "position {position}: the event cannot be read ({reason})")
            }
            Self::Removed { position } => write!(f, "position {position}: the event was removed"),
            Self::Added { position } => {
                write!(f, "position {position}: there is an event, and there was none when it was sealed")
            }
            Self::Moved { position, sealed_at } => {
                write!(f, "position {position}: the event was sealed at position {sealed_at}")
            }
            Self::SealsRemoved { position, to } => {
                write!(f, "positions {position} to {to}: their seals were removed")
            }
            Self::SealChanged { position, to } => {
                write!(f, "positions {position} to {to}: their seal was changed")
            }
            Self::SaltsRemoved { position, to } => {
                write!(
                    f,
                    "positions {position} to {to}: their salts were removed, so the events cannot be compared"
                )
            }
            Self::Rewritten { position, to } => write!(
                f,
                "positions {position} to {to}: the log does not lead to the checkpoint at {to}; it was changed there, and sealed anew"
            ),
            Self::Cut { position, to } => {
                write!(
                    f,
                    "positions {position} to {to}: they were cut off; the checkpoint stands for {to} positions"
                )
            }
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sealed_to, head, intact, erased, absent, .. } = self;
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let more = self.found - self.findings.len() as u64;
        if more > 0 {
            writeln!(f, ".. and {more} more")?;
        }
        for Compared { size, matches } in &self.checkpoints {
            writeln!(f, "checkpoint at {size}: {}", if *matches { "matches" } else { "DOES NOT MATCH" })?;
        }
        if self.checkpoints.is_empty() {
            writeln!(
                f,
                "no checkpoint from elsewhere was given: a cut end, and a log that was rewritten together with its seals, are not seen"
            )?;
        }
        if *erased > 0 {
            writeln!(f, "{erased} events were erased (their salts are destroyed) and are not compared")?;
        }
        if *absent > 0 {
            writeln!(f, "{absent} positions had no event any more when they were sealed")?;
        }
        write!(
            f,
            "{intact} events up to position {sealed_to} are as they were sealed; {} behind it are not sealed yet",
            head.saturating_sub(*sealed_to)
        )
    }
}
