//! Under what a process runs a handler: the generation, and what earlier builds leave to know.
//!
//! Invariant: every mark of a handler is written under the generation that its process found, in a transaction that fails when the
//! handler has another one by then (G6, G10).

use super::layout::Layouts;
use crate::error::Error;
use crate::kernel::generation::Generation;
use crate::leases::Runs;
use crate::tx::Tx;
use factstream_core::params;

/// What a process runs a handler with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    /// What other processes have to run to share the work.
    pub(crate) runs: Runs,
    pub(crate) generation: Generation,
    /// Whether events are marked in the inbox although there is one lane: several lanes, before, may have handled some that
    /// lie beyond the checkpoint.
    pub(crate) marks_inbox: bool,
    /// The topics to read.
    pub(crate) topics: Vec<String>,
    /// What earlier divisions into shards have handled beyond the checkpoints.
    pub(crate) layouts: Layouts,
}

/// Locks a handler's row, if there is one: nobody takes it over until the end of the transaction.
pub(crate) async fn hold(tx: &mut Tx, handler: &str) -> Result<(), Error> {
    let sql = "UPDATE fs_handlers SET registered_at = registered_at WHERE handler = $1";
    tx.sql(sql, params![handler]).await?;
    Ok(())
}
