//! An untouched log (G24): every event is hashed into a tree soon after it was appended, and a checkpoint of that tree which lies elsewhere
//! shows later that nothing was changed, removed or reordered up to there. On by choice
//! ([`Builder::seal_within`](crate::Builder::seal_within)).
//!
//! `leaf` is what of an event is sealed, `tree` what leaves come down to; `sealer` writes them as `rows`; `verify` compares
//! them with the `log`, and `report` says what it found; `checkpoint` is what lies elsewhere, in `note` with a signature.

mod leaf;
mod tree;
mod rows;
pub(crate) mod sealer;
mod log;
mod checkpoint;
#[cfg(feature = "signed-checkpoints")]
mod note;
mod report;
mod verify;
mod erase;
mod handle;

pub use checkpoint::{Checkpoint, InvalidCheckpoint};
pub use handle::{SealStatus, Seals};
#[cfg(feature = "signed-checkpoints")]
pub use note::{InvalidKey, SigningKey, VerifyingKey};
pub use report::{Compared, ERASED_MAX, FINDINGS_MAX, Finding, Verification};
pub use verify::Progress;
