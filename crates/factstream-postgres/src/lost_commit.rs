//! The reply to a COMMIT was lost: did it happen? It is asked for, never guessed.
//!
//! A transaction that appends is all or nothing, so one of its events or keys tells. Whoever still commits it holds the
//! counter's lock: behind that lock the answer is final. A statement that appends by itself may not even have begun, for the
//! server may still read what was sent before the connection was lost: it names the fence, which whoever asks moves, so that
//! from then on it is refused. A transaction that appends nothing leaves no such mark; its caller
//! is told that the outcome is unknown, and the framework's own look at their checkpoint or inbox then.
//!
//! A commit of which the server says that no synchronous standby has confirmed it is asked for as well: the answer counts once
//! the standby has what comes after it.

use crate::error::{is_passing, of_statement};
use crate::pool::{Lent, Pool};
use crate::session::Session;
use crate::shared::Shared;
use crate::statements::MOVE_FENCE;
use factstream_core::envelope::Position;
use factstream_core::store::StoreError;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// For how long is asked, and how long one question may take: so many times as late as an answer may be.
const ASK_FOR: u32 = 6;
const ANSWER_MAX: u32 = 2;
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// The server gave up waiting for its synchronous standby.
pub(crate) const NOT_REPLICATED: &str =
    "the server stopped waiting for its synchronous standby: the commit is on its own disk only";

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
/// [`StoreError::Busy`] when it was not; [`StoreError::Unknown`] when the server did not come back in time, or no synchronous
/// standby confirms it.
pub(crate) async fn ask(pool: &Pool, shared: &Shared, mark: &Mark) -> Result<Position, StoreError> {
    let deadline = Instant::now() + shared.answer_timeout * ASK_FOR;
    let mut last = String::new();
    while Instant::now() < deadline {
        match find(pool, shared, mark).await {
            Ok(Some(position)) => return Ok(position),
            Ok(None) => {
                let text = "the connection was lost while events were being committed; nothing was stored";
                return Err(StoreError::Busy(text.into()));
            }
            // It does not pass by itself, so whoever waits is told.
            Err(error @ StoreError::Unavailable { .. }) => {
                return Err(StoreError::Unknown(format!(
                    "the connection was lost while events were being committed, and they cannot be asked for: {error}"
                )));
            }
            Err(error) => {
                tracing::warn!(%error, "asking whether events were committed");
                last = error.to_string();
            }
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
    Err(StoreError::Unknown(format!(
        "the connection was lost while events were being committed, and asking for them failed ({last})"
    )))
}

async fn find(pool: &Pool, shared: &Shared, mark: &Mark) -> Result<Option<Position>, StoreError> {
    let session = pool.get().await?;
    let answer_max = shared.answer_timeout * ANSWER_MAX;
    if let Ok(found) = timeout(answer_max, find_on(&session, shared, mark)).await {
        return found;
    }
    // It still waits for its answer there.
    Lent::take(session).abandon(&shared.server);
    Err(StoreError::Busy(format!("no answer within {answer_max:?}")))
}

async fn find_on(session: &Session, shared: &Shared, mark: &Mark) -> Result<Option<Position>, StoreError> {
    let failed = |error: tokio_postgres::Error| of_statement("asking", &error);
    let unreplicated = session.unreplicated();
    let fence = session.query_one(MOVE_FENCE, &[]).await.map_err(failed)?.get(0);
    // It comes after what is asked for, so a standby that has it has that, too.
    if session.unreplicated() != unreplicated {
        return Err(StoreError::Busy(NOT_REPLICATED.into()));
    }
    shared.knowledge.fence.learn(fence);
    let found = match mark {
        Mark::Event(id) => session.query_opt("SELECT position FROM events WHERE event_id = $1", &[id]).await,
        Mark::Key(key) => {
            session.query_opt("SELECT position FROM fs_command_keys WHERE key = $1", &[key]).await
        }
    };
    Ok(found.map_err(failed)?.map(|row| row.get::<_, i64>(0).cast_unsigned()))
}
