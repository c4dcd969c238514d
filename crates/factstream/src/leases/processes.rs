//! The processes that run handlers, and what each handler is doing there, as they tell it with their beats: for whoever looks from
//! outside, such as a command line.

use super::identity::Identity;
use crate::error::Error;
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::Store;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// The pause before beats are looked at again.
const LOOK: Duration = Duration::from_millis(100);

/// A process on the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunningProcess {
    /// The service that it runs.
    pub service: String,
    /// The machine's name.
    pub host: String,
    /// Its number on that machine.
    pub pid: u32,
    /// What each handler is doing there, by its name, and the relay; told about every second.
    pub handlers: BTreeMap<String, Doing>,
}

/// What a handler is doing in a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Doing {
    /// `live`, `standing by`, `outdated`, `halted`, `paused`, `restarting` or `stopped`.
    pub state: String,
    /// Why, where it neither handles events nor waits for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

struct Seen {
    owner: String,
    beat: i64,
    states: String,
}

/// The processes that live, as far as their beats tell within `watch`.
pub(crate) async fn processes(store: &dyn Store, watch: Duration) -> Result<Vec<RunningProcess>, Error> {
    let until = Instant::now() + watch;
    let mut seen = look(store).await?;
    seen.retain(|seen| !Identity::parse(&seen.owner).died_here());
    let first: HashMap<String, i64> = seen.iter().map(|seen| (seen.owner.clone(), seen.beat)).collect();
    let moved = |now: &Seen| first.get(&now.owner).is_none_or(|first| *first != now.beat);
    while !watch.is_zero() && !seen.iter().all(&moved) {
        if Instant::now() >= until {
            seen.retain(&moved);
            break;
        }
        tokio::time::sleep(LOOK).await;
        let owners: Vec<String> = seen.into_iter().map(|seen| seen.owner).collect();
        seen = look(store).await?;
        seen.retain(|seen| owners.contains(&seen.owner));
    }
    Ok(seen.into_iter().map(Seen::process).collect())
}

/// What the table says of them now.
async fn look(store: &dyn Store) -> Result<Vec<Seen>, Error> {
    let rows = store.query("SELECT owner, beat, states FROM fs_owners ORDER BY owner", params![]).await?;
    let of_row =
        |row: &Row| Ok(Seen { owner: row.get("owner")?, beat: row.get("beat")?, states: row.get("states")? });
    rows.iter().map(of_row).collect()
}

impl Seen {
    fn process(self) -> RunningProcess {
        let Identity { host, pid, service, .. } = Identity::parse(&self.owner);
        // What cannot be read is of another release: that it lives is known all the same.
        let handlers = serde_json::from_str(&self.states).unwrap_or_default();
        RunningProcess { service, host, pid, handlers }
    }
}
