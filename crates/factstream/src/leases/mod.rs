//! Who owns what may have one owner only: the relay, each projection, each group of the embedded broker.
//!
//! A process shows that it lives by moving its beat. Another takes a lease over when it has seen the beat stand still for
//! [`PATIENCE`] by its own clock (so no two clocks are ever compared), or when both are on one machine and the owner's
//! process is gone.
//!
//! Invariant: a lease is about efficiency and order of work, not about correctness. An owner that was paused and wakes up
//! fails at its checkpoint or inbox (G6), and makes its row anew if others have forgotten it.

mod identity;
mod others;
mod present;
mod processes;
mod runs;

pub(crate) use present::{Alone, Present};
pub(crate) use processes::processes;
pub use processes::{Doing, RunningProcess};
pub(crate) use runs::{Builds, LANES, Runs};

use crate::error::Error;
use crate::kernel::generation::Generation;
use crate::statements as sql;
use crate::tasks::lock;
use factstream_core::params;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{Commit, Store};
use identity::{Identity, readable};
use others::{Others, Seen};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a process moves its beat.
const BEAT: Duration = Duration::from_secs(1);
/// How long an owner's beat may stand still.
const PATIENCE: Duration = Duration::from_secs(3);

/// A lease, and the process that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaseOwner {
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

/// Every lease that somebody has.
pub(crate) async fn owners(store: &dyn Store) -> Result<Vec<LeaseOwner>, Error> {
    let sql = "SELECT name, owner, token FROM fs_leases ORDER BY name";
    let rows = store.query(sql, params![]).await?;
    let owner = |row: &Row| {
        let owner: String = row.get("owner")?;
        let Identity { host, pid, service, .. } = Identity::parse(&owner);
        Ok(LeaseOwner { lease: row.get("name")?, service, host, pid, token: row.get("token")? })
    };
    rows.iter().map(owner).collect()
}

/// A lease on one part of a handler that the processes of one build share.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) runs: Runs,
    /// What the leases on its parts begin with.
    pub(crate) family: String,
    /// How many parts there are.
    pub(crate) of: u32,
}

impl Part {
    /// `family#2/4`, and nothing else: another handler may be called `family#eu`.
    fn is_of(&self, lease: &str) -> bool {
        lease.strip_prefix(&self.family).is_some_and(is_shard)
    }
}

type Held = HashMap<String, CancellationToken>;

/// Whether a name ends as those of shards do: this is all of it.
pub(crate) fn is_shard(ending: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = ending.strip_prefix('#').and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(index, of)| is_number(index) && is_number(of))
}

/// Whether a process that may live works on a handler, as far as the tables tell.
pub(crate) async fn may_run(store: &dyn Store, runs: &Runs) -> Result<bool, Error> {
    for row in store.query("SELECT owner, builds FROM fs_owners", params![]).await? {
        if runs.is_told_by(&told(&row)?) && !died_here(&row.get::<String>("owner")?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a row says that its process runs. What cannot be read is of another release, which runs builds of its own.
fn told(row: &Row) -> Result<Builds, Error> {
    Ok(serde_json::from_str(&row.get::<String>("builds")?).unwrap_or_default())
}

/// Whether an owner was a process of this very machine and is dead.
pub(crate) fn died_here(owner: &str) -> bool {
    Identity::parse(owner).died_here()
}

/// This process among the owners.
pub(crate) struct Leases {
    store: Arc<dyn Store>,
    owner: String,
    /// What it runs, as its row says (JSON).
    builds: String,
    /// What the handlers of this process are doing (JSON), once there are some.
    states: OnceLock<Box<dyn Fn() -> String + Send + Sync>>,
    /// What its row says of that.
    told: Mutex<String>,
    /// The generation of each handler, as it was at the last beat.
    generations: Mutex<HashMap<String, Generation>>,
    held: Mutex<Held>,
    others: Mutex<Others>,
    /// One part is taken at a time, so that a share is never exceeded by two at once.
    taking: tokio::sync::Mutex<()>,
}

/// How far a candidate has watched the owner of what it waits for.
struct Watched {
    owner: String,
    seen: Seen,
}

impl Leases {
    /// Enters this process among the owners.
    pub(crate) async fn enter(store: Arc<dyn Store>, service: &str, builds: &Builds) -> Result<Self, Error> {
        let builds = serde_json::to_string(builds)
            .map_err(|source| Error::Encode { what: "a row of fs_owners".into(), source })?;
        let leases = Self {
            store,
            owner: Identity::name_here(service),
            builds,
            states: OnceLock::new(),
            told: Mutex::default(),
            generations: Mutex::default(),
            held: Mutex::default(),
            others: Mutex::default(),
            taking: tokio::sync::Mutex::default(),
        };
        leases.write(sql::MOVE_BEAT, leases.beat_params()).await?;
        Ok(leases)
    }

    fn beat_params(&self) -> Params {
        params![&self.owner, &self.builds, None::<String>]
    }

    /// What the handlers of this process are doing is told with its beat from now on.
    pub(crate) fn tell(&self, states: impl Fn() -> String + Send + Sync + 'static) {
        let _ = self.states.set(Box::new(states));
    }

    /// What this process is called in the tables.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// The generation of a handler, as far as this process knows by its last beat.
    pub(crate) fn generation_of(&self, handler: &str) -> Option<Generation> {
        lock(&self.generations).get(handler).copied()
    }

    /// Whether another process that lives works on a handler.
    pub(crate) async fn is_run_elsewhere(&self, runs: &Runs) -> Result<bool, Error> {
        let sql = "SELECT owner, builds FROM fs_owners WHERE owner <> $1";
        for row in self.store.query(sql, params![&self.owner]).await? {
            if runs.is_told_by(&told(&row)?)
                && lock(&self.others).lives(&row.get::<String>("owner")?, Instant::now())
            {
                return Ok(true);
            }
        }
        Ok(false)
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
        self.beat_and_tell().await?;
        let rows = self.store.query("SELECT handler, generation FROM fs_handlers", params![]).await?;
        let of_row = |row: &Row| Ok((row.get("handler")?, row.get("generation")?));
        *lock(&self.generations) = rows.iter().map(of_row).collect::<Result<_, Error>>()?;
        let rows =
            self.store.query("SELECT name FROM fs_leases WHERE owner = $1", params![&self.owner]).await?;
        let owned: Vec<String> = rows.iter().filter_map(|row| row.get("name").ok()).collect();
        lock(&self.held).retain(|name, lost| {
            let kept = owned.contains(name);
            if !kept {
                lost.cancel();
            }
            kept
        });
        self.watch_others().await
    }

    /// Moves the beat, and writes what the handlers are doing where that has changed.
    async fn beat_and_tell(&self) -> Result<(), Error> {
        let states = self.states.get().map(|states| states());
        let changed = states.filter(|states| *states != *lock(&self.told));
        self.write(sql::MOVE_BEAT, params![&self.owner, &self.builds, changed.clone()]).await?;
        if let Some(changed) = changed {
            *lock(&self.told) = changed;
        }
        Ok(())
    }

    /// Notes which other processes live, and forgets those that are gone and own nothing.
    async fn watch_others(&self) -> Result<(), Error> {
        let rows = self.store.query(sql::SELECT_OTHER_OWNERS, params![&self.owner]).await?;
        let (mut owners, mut owning) = (HashMap::new(), Vec::new());
        for row in &rows {
            let owner: String = row.get("owner")?;
            if row.get::<u64>("leases")? > 0 {
                owning.push(owner.clone());
            }
            owners.insert(owner, (row.get("beat")?, told(row)?));
        }
        let gone = {
            let mut others = lock(&self.others);
            others.note(owners, Instant::now());
            others.gone(Instant::now())
        };
        for (owner, beat) in gone.into_iter().filter(|(owner, _)| !owning.contains(owner)) {
            self.write(sql::DELETE_OWNER, params![&owner, beat]).await?;
        }
        Ok(())
    }

    /// How many parts of a whole are this process's share among the processes that live and work on it, and how many of these
    /// leases it has.
    fn share(&self, part: &Part, held: &Held) -> (usize, usize) {
        let others = lock(&self.others).running(&part.runs, Instant::now());
        let share = (part.of as usize).div_ceil(others + 1);
        (share, held.keys().filter(|lease| part.is_of(lease)).count())
    }

    /// Whether this process may take one more part.
    fn has_room(&self, part: &Part) -> bool {
        let (share, has) = self.share(part, &lock(&self.held));
        has < share
    }

    /// Whether this process holds more than its share and is to end its work on this part. It then counts as given up.
    pub(crate) fn is_to_give_up(&self, name: &str, part: &Part) -> bool {
        let mut held = lock(&self.held);
        let (share, has) = self.share(part, &held);
        has > share && held.remove(name).is_some()
    }

    /// Waits until this process owns `name`, of parts no more than its share; `standby` is told who owns it meanwhile. The
    /// token is cancelled when the lease is lost. `None` when stopped first.
    pub(crate) async fn acquire(
        &self,
        name: &str,
        part: Option<&Part>,
        stop: &CancellationToken,
        standby: impl Fn(&str),
    ) -> Result<Option<CancellationToken>, Error> {
        let mut watched: Option<Watched> = None;
        while !stop.is_cancelled() {
            let taking = if part.is_some() { Some(self.taking.lock().await) } else { None };
            if part.is_some_and(|part| !self.has_room(part)) {
                self.give_back_unheld(name).await?;
            } else if self.try_acquire(name, &mut watched).await? {
                let lost = stop.child_token();
                lock(&self.held).insert(name.to_owned(), lost.clone());
                return Ok(Some(lost));
            }
            drop(taking);
            standby(
                &watched.as_ref().map_or_else(|| "another".to_owned(), |watched| readable(&watched.owner)),
            );
            let _ = tokio::time::timeout(BEAT / 2, stop.cancelled()).await;
        }
        Ok(None)
    }

    async fn try_acquire(&self, name: &str, watched: &mut Option<Watched>) -> Result<bool, Error> {
        let rows = self.store.query(sql::SELECT_LEASE, params![name]).await?;
        let Some(row) = rows.first() else {
            let sql = "INSERT INTO fs_leases (name, owner, token) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING";
            return self.claim(sql, params![name, &self.owner]).await;
        };
        let (owner, token, beat) =
            (row.get::<String>("owner")?, row.get::<i64>("token")?, row.get::<i64>("beat")?);
        if owner == self.owner {
            return Ok(true);
        }
        let now = Instant::now();
        let seen = match watched {
            Some(watched) if watched.owner == owner => &mut watched.seen,
            other => &mut other.insert(Watched { owner: owner.clone(), seen: Seen::new(beat, now) }).seen,
        };
        seen.note(beat, now);
        let lives = beat >= 0 && !seen.stands_for(PATIENCE, now) && !Identity::parse(&owner).died_here();
        if lives {
            return Ok(false);
        }
        tracing::info!(
            lease = name,
            owner = readable(&owner),
            "taking over from an owner that does not live any more"
        );
        self.claim(sql::CLAIM_LEASE, params![name, &self.owner, &owner, token]).await
    }

    /// Takes a lease, and with it shows that it lives: whoever forgets those who own nothing cannot come between.
    async fn claim(&self, sql: &str, params: Params) -> Result<bool, Error> {
        self.write_all([(sql::MOVE_BEAT, self.beat_params()), (sql, params)]).await
    }

    /// Gives back a lease that names this process and is not held: giving it back failed, or the reply to a claim was lost.
    /// With no room for it, nobody would ever take it up.
    async fn give_back_unheld(&self, name: &str) -> Result<(), Error> {
        let rows = self.store.query(sql::SELECT_LEASE, params![name]).await?;
        match rows.first().map(|row| row.get::<String>("owner")).transpose()? {
            Some(owner) if owner == self.owner => self.give_back(name).await,
            _ => Ok(()),
        }
    }

    /// Gives one lease back, whose work has ended.
    pub(crate) async fn give_back(&self, name: &str) -> Result<(), Error> {
        lock(&self.held).remove(name);
        self.write("DELETE FROM fs_leases WHERE name = $1 AND owner = $2", params![name, &self.owner])
            .await?;
        Ok(())
    }

    /// Gives everything back, so that others need not wait.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        let leases = ("DELETE FROM fs_leases WHERE owner = $1", params![&self.owner]);
        let owner = ("DELETE FROM fs_owners WHERE owner = $1", params![&self.owner]);
        self.write_all([leases, owner]).await?;
        Ok(())
    }

    async fn write(&self, sql: &str, params: Params) -> Result<bool, Error> {
        self.write_all([(sql, params)]).await
    }

    /// Writes in one transaction; whether the last statement touched anything.
    async fn write_all<const N: usize>(&self, statements: [(&str, Params); N]) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let mut touched = 0;
        for (sql, params) in statements {
            touched = tx.execute(sql, params).await?;
        }
        Ok(matches!(tx.commit(Vec::new()).await?, Commit::Committed(_)) && touched > 0)
    }
}
