//! Who owns what may have one owner only: the relay, each projection, each group of the embedded broker.
//!
//! A process shows that it lives by moving its beat. Another takes a lease over when it has seen the beat stand still for
//! [`PATIENCE`] by its own clock (so no two clocks are ever compared), or when both are on one machine and the owner's
//! process is gone.
//!
//! Invariant: a lease is about efficiency and order of work, not about correctness. An owner that was paused and wakes up
//! fails at its checkpoint or inbox (G6).

use crate::app::App;
use crate::error::Error;
use crate::statements as sql;
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::{Commit, Store};
use serde::Serialize;
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

/// A lease, and the process that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// What it owns: `relay`, or `handler` and the handler's name.
    pub lease: String,
    /// The service that the process runs.
    pub service: String,
    /// The machine's name.
    pub host: String,
    /// The process's number on that machine.
    pub pid: u32,
    /// How often the lease has gone from one owner to another: it only grows (a fencing token).
    pub token: u64,
}

impl App {
    /// Who owns what may have one owner only, over all processes on the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn owners(&self) -> Result<Vec<Owner>, Error> {
        let sql = "SELECT name, owner, token FROM fs_leases ORDER BY name";
        let rows = self.store().query(sql, params![]).await?;
        let owner = |row: &Row| {
            let owner: String = row.get("owner")?;
            let Identity { host, pid, service, .. } = Identity::parse(&owner);
            Ok(Owner { lease: row.get("name")?, service, host, pid, token: row.get("token")? })
        };
        rows.iter().map(owner).collect()
    }
}

/// What an owner is called in the tables: `machine/pid/id/host/service`.
struct Identity {
    machine: String,
    pid: u32,
    host: String,
    service: String,
}

impl Identity {
    fn parse(owner: &str) -> Self {
        let mut parts = owner.splitn(5, '/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (machine, pid, _id, host, service) = (next(), next(), next(), next(), next());
        Self { machine, pid: pid.parse().unwrap_or(0), host, service }
    }

    /// Whether it was a process of this very machine and is gone. Never true where that cannot be known.
    fn died_here(&self) -> bool {
        let here = machine();
        let known = here != "unknown" && self.machine == here && self.pid > 0;
        known && !std::path::Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

/// `service on host, process 17`: an owner as people read it.
fn readable(owner: &str) -> String {
    let Identity { host, pid, service, .. } = Identity::parse(owner);
    format!("{service} on {host}, process {pid}")
}

/// This process among the owners.
pub(crate) struct Leases {
    store: Arc<dyn Store>,
    owner: String,
    held: Mutex<HashMap<String, CancellationToken>>,
    /// The other processes, as this one has watched them.
    others: Mutex<HashMap<String, (i64, Instant)>>,
    /// One shard is taken at a time, so that a share is never exceeded by two at once.
    taking: tokio::sync::Mutex<()>,
}

/// A lease on one part of something that the processes of a service share.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What it is a part of.
    pub(crate) family: String,
    /// How many parts there are.
    pub(crate) of: u32,
}

impl Part {
    fn is_of(&self, lease: &str) -> bool {
        lease.strip_prefix(&self.family).is_some_and(|rest| rest.starts_with('#'))
    }
}

/// How far a candidate has watched an owner.
struct Watched {
    owner: String,
    beat: i64,
    since: Instant,
}

impl Leases {
    /// Enters this process among the owners.
    pub(crate) async fn enter(store: Arc<dyn Store>, service: &str) -> Result<Self, Error> {
        let (pid, id) = (std::process::id(), Uuid::now_v7());
        let owner = format!("{}/{pid}/{id}/{}/{service}", machine(), host());
        let mut tx = store.begin().await?;
        tx.execute("INSERT INTO fs_owners (owner, beat) VALUES ($1, 0)", params![&owner]).await?;
        tx.commit(Vec::new()).await?;
        Ok(Self {
            store,
            owner,
            held: Mutex::default(),
            others: Mutex::default(),
            taking: tokio::sync::Mutex::default(),
        })
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
        self.watch_others().await
    }

    /// Notes which other processes of this service live: those whose beat moves.
    async fn watch_others(&self) -> Result<(), Error> {
        let rows = self.store.query("SELECT owner, beat FROM fs_owners", params![]).await?;
        let service = Identity::parse(&self.owner).service;
        let mut beats = HashMap::new();
        for row in &rows {
            let (owner, beat): (String, i64) = (row.get("owner")?, row.get("beat")?);
            let identity = Identity::parse(&owner);
            if owner != self.owner && identity.service == service && !identity.died_here() {
                beats.insert(owner, beat);
            }
        }
        let mut others = crate::processor::lock(&self.others);
        others.retain(|owner, _| beats.contains_key(owner));
        for (owner, beat) in beats {
            let seen = others.entry(owner).or_insert((beat, Instant::now()));
            if seen.0 != beat {
                *seen = (beat, Instant::now());
            }
        }
        Ok(())
    }

    /// How many parts of a whole are this process's share among the processes of its service that live.
    fn share(&self, of: u32) -> usize {
        let others = crate::processor::lock(&self.others);
        let living = others.values().filter(|(_, moved)| moved.elapsed() < PATIENCE).count();
        (of as usize).div_ceil(living + 1)
    }

    fn holds(&self, part: &Part) -> usize {
        crate::processor::lock(&self.held).keys().filter(|lease| part.is_of(lease)).count()
    }

    /// Whether this process holds more than its share and is to end its work on this part. It then counts as given up.
    pub(crate) fn is_to_give_up(&self, name: &str, part: &Part) -> bool {
        let share = self.share(part.of);
        let mut held = crate::processor::lock(&self.held);
        let exceeds = held.keys().filter(|lease| part.is_of(lease)).count() > share;
        exceeds && held.remove(name).is_some()
    }

    /// Waits until this process owns one more part, and no more than its share of them; as [`Leases::acquire`].
    pub(crate) async fn acquire_part(
        &self,
        name: &str,
        part: &Part,
        stop: &CancellationToken,
        standby: impl Fn(&str),
    ) -> Result<Option<CancellationToken>, Error> {
        let mut watched: Option<Watched> = None;
        while !stop.is_cancelled() {
            let taking = self.taking.lock().await;
            if self.holds(part) < self.share(part.of) && self.try_acquire(name, &mut watched).await? {
                return Ok(Some(self.hold(name, stop)));
            }
            drop(taking);
            standby(&watched.as_ref().map_or_else(|| "another".to_owned(), |seen| readable(&seen.owner)));
            let _ = tokio::time::timeout(BEAT / 2, stop.cancelled()).await;
        }
        Ok(None)
    }

    fn hold(&self, name: &str, stop: &CancellationToken) -> CancellationToken {
        let lost = stop.child_token();
        crate::processor::lock(&self.held).insert(name.to_owned(), lost.clone());
        lost
    }

    /// Gives one lease back, whose work has ended.
    pub(crate) async fn give_back(&self, name: &str) -> Result<(), Error> {
        crate::processor::lock(&self.held).remove(name);
        self.write("DELETE FROM fs_leases WHERE name = $1 AND owner = $2", params![name, &self.owner])
            .await?;
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
                return Ok(Some(self.hold(name, stop)));
            }
            if let Some(watched) = &watched {
                standby(&readable(&watched.owner));
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
        let gone = beat < 0 || Identity::parse(&owner).died_here() || seen.since.elapsed() >= PATIENCE;
        if !gone {
            return Ok(false);
        }
        tracing::info!(
            lease = name,
            owner = readable(&owner),
            "taking over from an owner that does not live any more"
        );
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

/// The machine's name, as people know it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().replace('/', "-");
    if name.is_empty() { std::env::var("HOSTNAME").unwrap_or_else(|_| "unknown".to_owned()) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_back_whatever_its_service_is_called() {
        let owner = format!("{}/{}/{}/{}/a/b", machine(), std::process::id(), Uuid::now_v7(), host());
        let identity = Identity::parse(&owner);
        assert_eq!((identity.pid, identity.service.as_str()), (std::process::id(), "a/b"));
        assert!(!identity.died_here(), "this process lives");
        assert!(!Identity::parse("nonsense").died_here(), "what cannot be known is not dead");
    }
}
