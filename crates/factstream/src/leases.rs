//! Who owns what may have one owner only: the relay, each projection, each group of the embedded broker.
//!
//! A process shows that it lives by moving its beat. Another takes a lease over when it has seen the beat stand still for
//! [`PATIENCE`] by its own clock (so no two clocks are ever compared), or when both are on one machine and the owner's
//! process is gone.
//!
//! Invariant: a lease is about efficiency and order of work, not about correctness. An owner that was paused and wakes up
//! fails at its checkpoint or inbox (G6).

use crate::error::Error;
use crate::statements as sql;
use factstream_core::params;
use factstream_core::store::{Commit, Store};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often a process moves its beat.
const BEAT: Duration = Duration::from_secs(1);
/// How long an owner's beat may stand still.
const PATIENCE: Duration = Duration::from_secs(3);

/// This process among the owners.
pub(crate) struct Leases {
    store: Arc<dyn Store>,
    owner: String,
    held: Mutex<HashMap<String, CancellationToken>>,
}

/// How far a candidate has watched an owner.
struct Watched {
    owner: String,
    beat: i64,
    since: Instant,
}

impl Leases {
    /// Enters this process among the owners.
    pub(crate) async fn enter(store: Arc<dyn Store>) -> Result<Self, Error> {
        let owner = format!("{}/{}/{}", machine(), std::process::id(), Uuid::now_v7());
        let mut tx = store.begin().await?;
        tx.execute("INSERT INTO fs_owners (owner, beat) VALUES ($1, 0)", params![&owner]).await?;
        tx.commit(Vec::new()).await?;
        Ok(Self { store, owner, held: Mutex::default() })
    }

    /// Moves the beat until `stop`, and tells whoever has lost a lease.
    pub(crate) async fn beat(&self, stop: CancellationToken) {
        while tokio::time::timeout(BEAT, stop.cancelled()).await.is_err() {
            if let Err(error) = self.beat_once().await {
                tracing::warn!(%error, "this process could not show that it lives; it tries again");
            }
        }
    }

    async fn beat_once(&self) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        let sql = "INSERT INTO fs_owners (owner, beat) VALUES ($1, 0) ON CONFLICT (owner) DO UPDATE SET beat = fs_owners.beat + 1";
        tx.execute(sql, params![&self.owner]).await?;
        tx.commit(Vec::new()).await?;
        let rows =
            self.store.query("SELECT name FROM fs_leases WHERE owner = $1", params![&self.owner]).await?;
        let owned: Vec<String> = rows.iter().filter_map(|row| row.get("name").ok()).collect();
        crate::processor::lock(&self.held).retain(|name, lost| {
            let kept = owned.contains(name);
            if !kept {
                lost.cancel();
            }
            kept
        });
        Ok(())
    }

    /// Waits until this process owns `name`; `standby` is told who owns it meanwhile. The token is cancelled when the
    /// lease is lost. `None` when stopped first.
    pub(crate) async fn acquire(
        &self,
        name: &str,
        stop: &CancellationToken,
        standby: impl Fn(&str),
    ) -> Result<Option<CancellationToken>, Error> {
        let mut watched: Option<Watched> = None;
        while !stop.is_cancelled() {
            if self.try_acquire(name, &mut watched).await? {
                let lost = stop.child_token();
                crate::processor::lock(&self.held).insert(name.to_owned(), lost.clone());
                return Ok(Some(lost));
            }
            if let Some(watched) = &watched {
                standby(&watched.owner);
            }
            let _ = tokio::time::timeout(BEAT / 2, stop.cancelled()).await;
        }
        Ok(None)
    }

    async fn try_acquire(&self, name: &str, watched: &mut Option<Watched>) -> Result<bool, Error> {
        let sql = "SELECT l.owner, l.token, coalesce(o.beat, -1) AS beat FROM fs_leases l \
                   LEFT JOIN fs_owners o ON o.owner = l.owner WHERE l.name = $1";
        let rows = self.store.query(sql, params![name]).await?;
        let Some(row) = rows.first() else {
            let sql = "INSERT INTO fs_leases (name, owner, token) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING";
            return self.write(sql, params![name, &self.owner]).await;
        };
        let (owner, token, beat) =
            (row.get::<String>("owner")?, row.get::<i64>("token")?, row.get::<i64>("beat")?);
        if owner == self.owner {
            return Ok(true);
        }
        let seen = match watched {
            Some(seen) if seen.owner == owner && seen.beat == beat => seen,
            other => other.insert(Watched { owner: owner.clone(), beat, since: Instant::now() }),
        };
        let gone = beat < 0 || died_here(&owner) || seen.since.elapsed() >= PATIENCE;
        if !gone {
            return Ok(false);
        }
        tracing::info!(lease = name, %owner, "taking over from an owner that does not live any more");
        self.write(sql::CLAIM_LEASE, params![name, &self.owner, &owner, token]).await
    }

    async fn write(&self, sql: &str, params: factstream_core::sql::Params) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let touched = tx.execute(sql, params).await?;
        Ok(matches!(tx.commit(Vec::new()).await?, Commit::Committed(_)) && touched > 0)
    }

    /// Gives everything back, so that others need not wait.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        tx.execute("DELETE FROM fs_leases WHERE owner = $1", params![&self.owner]).await?;
        tx.execute("DELETE FROM fs_owners WHERE owner = $1", params![&self.owner]).await?;
        tx.commit(Vec::new()).await?;
        Ok(())
    }
}

/// Names the machine and its process numbers' space as far as that can be known: boot and process namespace on Linux.
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    match boot.trim() {
        "" => "unknown".to_owned(),
        boot => format!("{boot} {}", space.display()),
    }
}

/// Whether an owner was a process of this very machine and is gone. Never true where that cannot be known.
fn died_here(owner: &str) -> bool {
    let mut parts = owner.split('/');
    let (Some(its_machine), Some(pid)) = (parts.next(), parts.next()) else { return false };
    let here = machine();
    here != "unknown" && its_machine == here && !std::path::Path::new("/proc").join(pid).exists()
}
