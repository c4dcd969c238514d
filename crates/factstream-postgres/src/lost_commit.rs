//! The reply to a COMMIT was lost: did it happen? It is asked for, never guessed.
//!
//! A transaction that appends is all or nothing, so one of its events or keys tells. Whoever still commits it holds the
//! counter's lock: behind that lock the answer is final. A statement that appends by itself may not even have begun, for the
//! server may still read what was sent before the connection was lost: it names the fence, which whoever asks moves, so that
//! from then on it is refused. A transaction that appends nothing leaves no such mark; its caller
//! is told that the outcome is unknown, and the framework's own look at their checkpoint or inbox then.

use crate::error::{is_passing, of_pool, of_statement};
use crate::shared::Shared;
use crate::statements::MOVE_FENCE;
use deadpool_postgres::Pool;
use factstream_core::envelope::Position;
use factstream_core::store::StoreError;
use std::time::Duration;
use uuid::Uuid;

/// How often is asked, and how long is waited in between.
const ASK_MAX: u32 = 60;
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// Something that is there if the transaction was committed, and only then.
pub(crate) enum Mark {
    Event(Uuid),
    Key(String),
}

/// Whether a COMMIT that failed like this may have happened: the connection went away, or the server ended it, which it
/// also does right after a commit.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(is_passing)
}

/// Returns when the transaction was committed: the position of its mark.
///
/// # Errors
/// [`StoreError::Busy`] when it was not; [`StoreError::Unknown`] when the server did not come back in time.
pub(crate) async fn ask(pool: &Pool, shared: &Shared, mark: &Mark) -> Result<Position, StoreError> {
    for _ in 0..ASK_MAX {
        match find(pool, shared, mark).await {
            Ok(Some(position)) => return Ok(position),
            Ok(None) => {
                let text = "the connection was lost while events were being committed; nothing was stored";
                return Err(StoreError::Busy(text.into()));
            }
            Err(error) => tracing::warn!(%error, "asking whether events were committed"),
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
    Err(StoreError::Unknown("the connection was lost while events were being committed".into()))
}

async fn find(pool: &Pool, shared: &Shared, mark: &Mark) -> Result<Option<Position>, StoreError> {
    let failed = |error: tokio_postgres::Error| of_statement("asking", &error);
    let client = pool.get().await.map_err(|error| of_pool(&shared.server.place, &error))?;
    shared.fence.learn(client.query_one(MOVE_FENCE, &[]).await.map_err(failed)?.get(0));
    let found = match mark {
        Mark::Event(id) => client.query_opt("SELECT position FROM events WHERE event_id = $1", &[id]).await,
        Mark::Key(key) => {
            client.query_opt("SELECT position FROM fs_command_keys WHERE key = $1", &[key]).await
        }
    };
    Ok(found.map_err(failed)?.map(|row| row.get::<_, i64>(0).cast_unsigned()))
}
