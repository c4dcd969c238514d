//! How a new, empty table is filled from the log, where a handler can do that in memory.

use super::failure::Failure;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::envelope::RecordedEvent;

/// Folds pages of the log into rows in memory. For one page: `fold`, and `load` when it wants rows; then `let_go` while it
/// is full.
#[async_trait]
pub(crate) trait Filling: Send {
    /// Folds a page, as far as its rows are in memory: from the first that may be in the table on, the page waits for `load`.
    fn fold(&mut self, page: Vec<RecordedEvent>) -> Result<(), Failure>;

    /// Whether events wait for rows that may be in the table.
    fn wants_rows(&self) -> bool;

    /// Loads them, and folds what waits. What was let go has to be committed.
    async fn load(&mut self, tx: &mut Tx) -> Result<(), Failure>;

    /// Whether there are more rows in memory than may stay.
    fn is_full(&self) -> bool;

    /// Takes out half of the rows, those that were touched the longest ago, and more where they are large; or all.
    fn let_go(&mut self, all: bool) -> Vec<Box<dyn Unwritten>>;
}

/// Rows that were let go: what one transaction writes.
#[async_trait]
pub(crate) trait Unwritten: Send {
    async fn write(self: Box<Self>, tx: &mut Tx) -> Result<(), Failure>;
}
