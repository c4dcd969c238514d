//! The sealer: one more reader of the log. It hashes events into the tree of seals, in order, and writes leaves, salts and root.
//!
//! Invariants: one sealer per store at a time, by a lease; should there be two, the checkpoint lets one of them commit. Seals and the
//! checkpoint commit together, so what is sealed is what the checkpoint says, whenever the process ends. A row that stands is
//! never written again.

use super::rows::{self, LEAVES_MAX, NewSeal};
use super::tree::Tree;
use crate::error::Error;
use crate::health::Health;
use crate::kernel::Kernel;
use crate::processor::checkpoint::{self, Place, move_params, move_statement};
use crate::statements as sql;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::store::Store;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What its lease and its checkpoint (of the framework's own generation) are called.
pub(crate) const NAME: &str = "sealer";
/// Positions that one transaction seals at most.
const BATCH_MAX: u64 = 8 * LEAVES_MAX;
/// How long to wait for news at once.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// Seals until `stop`: [`LEAVES_MAX`] events as soon as they are there, fewer when they have waited for `within`.
pub(crate) async fn run(
    kernel: &Kernel,
    within: Duration,
    health: &Health,
    stop: CancellationToken,
) -> Result<(), Error> {
    let store = kernel.store.as_ref();
    let place = Place::own(NAME, store.history());
    let mut tree = begin(store, &place).await?;
    while !stop.is_cancelled() {
        place.refuse_other_history(store)?;
        health.idle();
        let events = tokio::select! {
            () = stop.cancelled() => break,
            () = enough(store, tree.size(), within) => store.read_log(tree.size(), BATCH_MAX as usize).await?,
        };
        if let Some(last) = events.last() {
            health.running();
            let upto = last.position.min(tree.size() + BATCH_MAX);
            tree = seal(store, &place, tree, &events, upto).await?;
            health.handled(events.len() as u64);
        }
    }
    Ok(())
}

/// The tree as it stands, which ends where the checkpoint is.
async fn begin(store: &dyn Store, place: &Place) -> Result<Tree, Error> {
    let checkpoint = checkpoint::begin(store, place, NAME).await?;
    let tree = rows::newest(store).await?.map(|newest| newest.tree).unwrap_or_default();
    let size = tree.size();
    if size == checkpoint {
        return Ok(tree);
    }
    // Another owner may have sealed between the two questions: then both are asked again.
    match checkpoint::read(store, place).await? {
        Some(now) if now == checkpoint => Err(Error::Seals(format!(
            "they reach to position {size}, and the sealer's checkpoint stands at {checkpoint}: a part of the store was restored, or \
             changed by hand. Nothing is sealed; verify the log, and restore fs_seals or set the row of {NAME} in fs_checkpoints to \
             {size}"
        ))),
        _ => Err(Error::Superseded { handler: NAME.to_owned() }),
    }
}

/// Waits until there are events for a whole seal, or some that have been there for this time.
async fn enough(store: &dyn Store, sealed_to: Position, within: Duration) {
    let mut first_seen: Option<Instant> = None;
    loop {
        let (beyond, wait) = match first_seen {
            None => (sealed_to, IDLE_WAIT),
            Some(seen) => (sealed_to + LEAVES_MAX - 1, within.saturating_sub(seen.elapsed())),
        };
        if first_seen.is_some() && wait.is_zero() {
            return;
        }
        // What is wrong with the store is told by the read that comes next.
        let Ok(head) = store.wait_beyond(beyond, wait).await else { return };
        if head >= sealed_to + LEAVES_MAX {
            return;
        }
        if head > sealed_to {
            first_seen.get_or_insert_with(Instant::now);
        }
    }
}

/// Seals what lies behind the tree, up to a position.
async fn seal(
    store: &dyn Store,
    place: &Place,
    mut tree: Tree,
    events: &[RecordedEvent],
    upto: Position,
) -> Result<Tree, Error> {
    let from = tree.size();
    let mut events = events.iter().peekable();
    let (mut seals, mut salts) = (Vec::new(), Vec::new());
    while tree.size() < upto {
        let size = upto.min(tree.size() + LEAVES_MAX);
        let (seal, of_seal) = NewSeal::grow(&mut tree, &mut events, size).into_params();
        seals.push(seal);
        salts.push(of_seal);
        tokio::task::yield_now().await; // hashing these took a while
    }
    let mut tx = store.begin().await?;
    place.refuse_other_history(store)?;
    if tx.execute(move_statement(), move_params(place, from, upto)).await? == 0 {
        return Err(Error::Superseded { handler: NAME.to_owned() });
    }
    tx.execute_many(sql::INSERT_SEAL, seals).await?;
    tx.execute_many(sql::INSERT_SALTS, salts).await?;
    tx.commit(Vec::new()).await?;
    Ok(tree)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::app::App;
    use factstream_core::envelope::{NewEvent, StreamId};
    use factstream_core::params;
    use factstream_core::sql::now;
    use factstream_core::store::{Append, Expected};
    use uuid::Uuid;

    /// On a SQLite file, or with `FACTSTREAM_TEST_STORE=postgres` on a real server.
    async fn open(dir: &tempfile::TempDir) -> App {
        let url = match std::env::var("FACTSTREAM_TEST_STORE").as_deref() {
            Ok("postgres") => factstream_tests::postgres::server().database(),
            _ => format!("sqlite://{}", dir.path().join("store.db").display()),
        };
        App::open(url).await.unwrap()
    }

    async fn append(store: &dyn Store, id: &str) {
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            event_type: "Noted".into(),
            schema_version: 1,
            data: "{}".to_owned().into(),
            metadata: "{}".to_owned().into(),
            timestamp: now(),
        };
        let stream = StreamId::new("note", id).unwrap();
        store.append(Append { stream, expected: Expected::Any, events: vec![event] }, None).await.unwrap();
    }

    #[tokio::test]
    async fn a_sealer_that_was_paused_while_another_sealed_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let app = open(&dir).await;
        let store = app.store().as_ref();
        let place = Place::own(NAME, store.history());
        let (paused, other) = (begin(store, &place).await.unwrap(), begin(store, &place).await.unwrap());
        append(store, "n-1").await;
        let first = store.read_log(0, 10).await.unwrap();
        let other = seal(store, &place, other, &first, 1).await.unwrap();
        append(store, "n-2").await;
        let both = store.read_log(0, 10).await.unwrap();
        let refused = seal(store, &place, paused, &both, 2).await;
        assert!(matches!(refused, Err(Error::Superseded { .. })), "{refused:?}");

        // What it would have written is not there, and the other goes on.
        seal(store, &place, other, &both[1..], 2).await.unwrap();
        let rows = store.query("SELECT size FROM fs_seals ORDER BY size", params![]).await.unwrap();
        let sizes: Vec<u64> = rows.iter().map(|row| row.get("size").unwrap()).collect();
        assert_eq!(sizes, [1, 2]);
        let verification = app.seals().verify(&[], |_| {}).await.unwrap();
        assert!(verification.passes() && verification.intact == 2, "{verification}");
    }
}
