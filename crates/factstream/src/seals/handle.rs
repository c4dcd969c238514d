//! [`App::seals`]: what a person or a program asks of the seals.

use super::checkpoint::{Checkpoint, origin_of};
use super::report::Verification;
use super::verify::{self, Progress};
use super::{erase, rows};
use crate::app::App;
use crate::error::Error;
use crate::health::State;
use crate::kernel::names::SEALER;
use factstream_core::envelope::Position;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

impl App {
    /// The seals of the log: their status, checkpoints to keep elsewhere, and whether the log is as it was sealed (G24).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use factstream::App;
    /// use std::time::Duration;
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}", dir.path().join("orders.db").display());
    /// let app = App::builder(url).aggregate::<Order>().seal_within(Duration::from_millis(10)).open().await?;
    /// let running = app.start().await?;
    /// app.create(create()).await?;
    /// while app.seals().status().await?.unsealed_events > 0 {
    ///     tokio::time::sleep(Duration::from_millis(10)).await;
    /// }
    /// let checkpoint = app.seals().checkpoint().await?; // to be kept where nobody who writes the store can reach it
    /// assert_eq!(checkpoint.size(), 1);
    /// // .. a year later
    /// let verification = app.seals().verify(&[checkpoint], |_| {}).await?;
    /// assert!(verification.passes(), "{verification}");
    /// # running.stop(Duration::from_secs(5)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn seals(&self) -> Seals<'_> {
        Seals { app: self }
    }
}

/// The seals of a log. See [`App::seals`].
#[derive(Clone, Copy)]
pub struct Seals<'a> {
    app: &'a App,
}

impl fmt::Debug for Seals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seals").field("origin", &self.origin()).finish()
    }
}

/// How far a log is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SealStatus {
    /// Up to which position; 0 when nothing is sealed.
    pub sealed_to: Position,
    /// When that was, by the clock of the process that did it.
    pub sealed_at: Option<Timestamp>,
    /// The newest event.
    pub head: Position,
    /// How many positions are not sealed yet.
    pub unsealed_events: u64,
    /// For how many seconds the oldest of those has waited, by the store's clock.
    pub unsealed_seconds: Option<u64>,
    /// What the sealer is doing in this process; `None` where it does not seal. [`App::processes`] tells of others.
    pub sealer: Option<State>,
}

impl Seals<'_> {
    /// How far the log is sealed, and for how long the rest has waited.
    ///
    /// # Errors
    /// When the store cannot be read; [`Error::Seals`] when the newest seal was changed.
    pub async fn status(&self) -> Result<SealStatus, Error> {
        let store = self.app.store().as_ref();
        let newest = rows::newest(store).await?;
        let sealed_to = newest.as_ref().map_or(0, |newest| newest.tree.size());
        let head = self.app.head().await?;
        let oldest = store.read_log(sealed_to, 1).await?.pop().map(|event| event.timestamp);
        let unsealed_seconds = match oldest {
            Some(oldest) => {
                let waited = self.app.clock().ask(store).await?.duration_since(oldest);
                Some(u64::try_from(waited.as_secs()).unwrap_or(0)) // a clock may have gone back
            }
            None => None,
        };
        Ok(SealStatus {
            sealed_to,
            sealed_at: newest.map(|newest| newest.sealed_at),
            head,
            unsealed_events: head.saturating_sub(sealed_to),
            unsealed_seconds,
            sealer: self.app.kernel().seals_within.map(|_| self.app.healths().of(SEALER).state()),
        })
    }

    /// What the log comes down to as far as it is sealed: to be kept where whoever writes the store cannot reach it.
    ///
    /// It repeats what the seals say. So verify first, with the checkpoints that you have.
    ///
    /// # Errors
    /// [`Error::Seals`] when nothing is sealed, or the newest seal was changed; and when the store cannot be read.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let newest = rows::newest(self.app.store().as_ref()).await?.ok_or_else(nothing_sealed)?;
        Ok(Checkpoint::of(&newest.tree, self.app.store_id()))
    }

    /// Compares every sealed event with its seal, and the seals with checkpoints from elsewhere, of this log and of any size.
    ///
    /// Without a checkpoint it finds what was changed, removed, added or moved by somebody who left the seals alone. A cut end of log
    /// and seals, and a log that was rewritten together with its seals, are found by a checkpoint alone. With several, the first
    /// finding lies between the last that matches and the next.
    ///
    /// It reads the whole log, changes nothing, and may run beside everything else.
    ///
    /// # Errors
    /// [`Error::Seals`] when nothing is sealed and no checkpoint says that something was, when a checkpoint is of another log, or when a
    /// newer release sealed it; and when the store cannot be read.
    pub async fn verify(
        &self,
        checkpoints: &[Checkpoint],
        progress: impl FnMut(Progress),
    ) -> Result<Verification, Error> {
        let origin = self.origin();
        if let Some(foreign) = checkpoints.iter().find(|checkpoint| checkpoint.origin() != origin) {
            return Err(Error::Seals(format!(
                "the checkpoint is of the log {:?}, and this one is {origin:?}; give those of this store",
                foreign.origin()
            )));
        }
        let mut checkpoints = checkpoints.to_vec();
        checkpoints.sort_by_key(Checkpoint::size);
        let (store, head, any) = (self.app.store().as_ref(), self.app.head().await?, !checkpoints.is_empty());
        let verification = verify::verify(store, head, checkpoints, progress).await?;
        if verification.sealed_to == 0 && !any { Err(nothing_sealed()) } else { Ok(verification) }
    }

    /// Destroys the salts of these events, so that nothing of them can be guessed from their leaves: part of erasing what an event holds.
    /// The leaves stay, and with them the proof of all other events. What is not sealed yet has no salt; how many had one.
    ///
    /// A destroyed salt is gone from the tables; free pages and logs of the database, and backups, hold it until they are overwritten. On
    /// PostgreSQL it takes the role that owns the tables.
    ///
    /// # Errors
    /// When the store cannot be written: then no salt is destroyed.
    pub async fn destroy_salts(&self, positions: &[Position]) -> Result<u64, Error> {
        erase::destroy_salts(self.app.store().as_ref(), positions).await
    }

    /// The name of this log in its checkpoints: `factstream/` and the [store's id](App::store_id).
    pub fn origin(&self) -> String {
        origin_of(self.app.store_id())
    }
}

fn nothing_sealed() -> Error {
    Error::Seals(
        "nothing is sealed; have the application seal its log (Builder::seal_within), or restore fs_seals if it did".into(),
    )
}
