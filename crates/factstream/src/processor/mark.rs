//! How far a batch reaches, and what a transaction of it writes of that.

use super::offsets::Reached;
use factstream_core::envelope::Position;

/// Where the checkpoint goes with a transaction: from here to there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) from: Position,
    pub(crate) to: Position,
}

/// How far a batch reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Progress<'a> {
    Checkpoint(Move),
    Offsets(Reached<'a>),
    /// Timers, which are deleted one by one; the checkpoint, where there is one, stays.
    Timers(Option<Position>),
}

/// What a transaction has to do with the handler's progress.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CheckpointMark<'a> {
    /// A consumer's, with more of the batch to come: nothing but the fence.
    Fence,
    /// A consumer's last of a batch: its offsets move along.
    Reaches(Reached<'a>),
    /// One lane: the checkpoint moves along.
    Moves(Move),
    /// One of several lanes: the checkpoint stays here until all of them are done.
    Stays(Position),
}

impl CheckpointMark<'_> {
    /// The mark of a piece that ends here, with more to come, and that of what comes after it.
    pub(crate) fn cut(self, end: Option<Position>) -> (Self, Self) {
        match (self, end) {
            (Self::Moves(Move { from, to }), Some(end)) => {
                (Self::Moves(Move { from, to: end }), Self::Moves(Move { from: end, to }))
            }
            (Self::Reaches(_), _) => (Self::Fence, self),
            (same, _) => (same, same),
        }
    }
}
