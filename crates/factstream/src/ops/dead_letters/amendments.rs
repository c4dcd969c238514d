//! What people decided about events of projections, to be seen and taken back. A decision outlives its letter, for every rebuild
//! follows it.

use super::{DeadLetters, LIST_MAX};
use crate::error::Error;
use crate::processor::claim;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde::Serialize;

/// A decision about an event of a projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Amendment {
    /// The projection.
    pub handler: String,
    /// The event's position in the log.
    pub position: Position,
    /// `discard`: it is left out. `edit`: it is read with other data.
    pub action: String,
    /// When that was decided.
    pub decided_at: Timestamp,
}

impl DeadLetters<'_> {
    /// What was decided about events of a projection after a position, in order, at most [`LIST_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn amendments(&self, handler: &str, after: Position) -> Result<Vec<Amendment>, Error> {
        let sql = "SELECT handler, position, action, decided_at FROM fs_amendments \
                   WHERE handler = $1 AND position > $2 ORDER BY position LIMIT $3";
        let rows = self.app.store().query(sql, params![handler, after, LIST_MAX]).await?;
        let of_row = |row: &Row| {
            Ok(Amendment {
                handler: row.get("handler")?,
                position: row.get("position")?,
                action: row.get("action")?,
                decided_at: row.get("decided_at")?,
            })
        };
        rows.iter().map(of_row).collect()
    }

    /// Takes a decision back: from the next rebuild on, the projection is given the event as it lies in the log. Its rows stay as they are
    /// until then.
    ///
    /// # Errors
    /// [`Error::Wiring`] when nothing was decided about this event.
    pub async fn withdraw(&self, handler: &str, position: Position) -> Result<(), Error> {
        let mut tx = self.app.begin().await?;
        claim::hold(&mut tx, handler).await?;
        let sql = "DELETE FROM fs_amendments WHERE handler = $1 AND position = $2";
        if tx.sql(sql, params![handler, position]).await? == 0 {
            return Err(Error::Wiring(format!(
                "nothing was decided about the event at position {position} for {handler}; list what was: deadletters \
                 amendments {handler}"
            )));
        }
        tx.commit().await?;
        Ok(())
    }
}
