//! What is going on: for each handler its state, checkpoint, lag, attempts, dead letters and parked events.

use crate::app::App;
use crate::error::Error;
use crate::leases::Owner;
use crate::processor::{From, Kind, checkpoint, lock};
use crate::relay;
use crate::statements as sql;
use factstream_core::broker::Member;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sql::now;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What a handler, or the relay, is doing in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Not started in this process.
    Stopped,
    /// Another process owns it; this one waits.
    Standby {
        /// The owner.
        owner: String,
    },
    /// Handling events.
    Running,
    /// Waiting for events.
    Idle,
    /// Takes in no new events for now.
    Paused {
        /// Why.
        reason: String,
    },
    /// Failed as a whole, and will be started again.
    Restarting {
        /// What failed.
        error: String,
        /// When it is started again.
        at: Timestamp,
    },
}

/// What a handler tells about itself while it runs.
pub(crate) struct Health {
    state: Mutex<State>,
    handled: AtomicU64,
    skipped: AtomicU64,
    attempts: AtomicU64,
    restarts: AtomicU64,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::Stopped),
            handled: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, state: State) {
        *lock(&self.state) = state;
    }

    pub(crate) fn running(&self) {
        self.set(State::Running);
    }

    pub(crate) fn idle(&self) {
        self.set(State::Idle);
    }

    pub(crate) fn paused(&self, reason: String) {
        self.set(State::Paused { reason });
    }

    pub(crate) fn restarting(&self, error: String, at: Timestamp) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.set(State::Restarting { error, at });
    }

    pub(crate) fn handled(&self, events: u64) {
        self.handled.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self, events: u64) {
        self.skipped.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn attempt_failed(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }
}

/// The health of every handler and of the relay.
pub(crate) struct Healths {
    by_name: HashMap<String, Arc<Health>>,
}

impl Healths {
    pub(crate) fn new(handlers: impl Iterator<Item = (String, Kind)>) -> Self {
        let names = handlers.map(|(name, _)| name).chain([relay::NAME.to_owned()]);
        Self { by_name: names.map(|name| (name, Arc::new(Health::new()))).collect() }
    }

    pub(crate) fn of(&self, name: &str) -> Arc<Health> {
        self.by_name.get(name).cloned().unwrap_or_else(|| Arc::new(Health::new()))
    }
}

/// The whole picture.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The position of the newest event.
    pub position: Position,
    /// The service that this process runs.
    pub service: String,
    /// This process's number.
    pub pid: u32,
    /// Who owns what may have one owner only, over all processes on the store.
    pub owners: Vec<Owner>,
    /// The relay.
    pub relay: RelayStatus,
    /// Every handler, in the order in which they were declared.
    pub handlers: Vec<HandlerStatus>,
}

/// The relay: log to topics.
#[derive(Debug, Clone, Serialize)]
pub struct RelayStatus {
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// The position that it has published up to.
    pub position: Position,
    /// Events that it has not looked at yet.
    pub lag_events: u64,
    /// The age of the oldest of them, seconds.
    pub lag_seconds: f64,
    /// How often it was started again in this process.
    pub restarts: u64,
}

/// One handler.
#[derive(Debug, Clone, Serialize)]
pub struct HandlerStatus {
    /// Its name: the table of a read model, the group of a consumer; of a projection that is split, also which part. Dead
    /// letters are told with the first part.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// What it is doing in this process.
    #[serde(flatten)]
    pub state: State,
    /// The members of its group and what they are assigned, where the broker assigns (Apache Kafka). With the embedded
    /// broker a group is owned whole: see [`Status::owners`].
    pub members: Vec<Member>,
    /// How far it is in the log; consumers have offsets in topics instead.
    pub checkpoint: Option<Position>,
    /// Events that it has not come to yet.
    pub lag_events: u64,
    /// The age of the oldest of them, seconds.
    pub lag_seconds: f64,
    /// Events handled since this process started.
    pub handled: u64,
    /// Events of types that no handler names, since this process started.
    pub skipped: u64,
    /// Failed attempts since this process started.
    pub attempts: u64,
    /// How often it was started again in this process.
    pub restarts: u64,
    /// Events that wait for another attempt.
    pub retrying: u64,
    /// Dead letters that wait for a person.
    pub dead_letters: u64,
    /// Events parked behind others of their key.
    pub parked: u64,
}

#[derive(Default, Clone, Copy)]
struct Waiting {
    retrying: u64,
    dead: u64,
    parked: u64,
}

impl App {
    /// What is going on, as the store and this process know it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn status(&self) -> Result<Status, Error> {
        let position = self.position().await?;
        // The relay first: what it publishes from now on is counted as a consumer's lag, and never by neither.
        let (checkpoint, lag_events, oldest) = self.log_lag(relay::NAME, position).await?;
        let health = self.healths().of(relay::NAME);
        let relay = RelayStatus {
            state: lock(&health.state).clone(),
            position: checkpoint,
            lag_events,
            lag_seconds: age_seconds(oldest),
            restarts: health.restarts.load(Ordering::Relaxed),
        };
        let waiting = self.waiting().await?;
        let mut handlers = Vec::with_capacity(self.specs().len());
        for spec in self.specs() {
            let (checkpoint, lag_events, oldest, members) = match &spec.from {
                From::Log => {
                    let (checkpoint, lag, oldest) = self.log_lag(&spec.name, position).await?;
                    (Some(checkpoint), lag, oldest, Vec::new())
                }
                From::Topics(topics) => {
                    let lag = self.broker().lag(&spec.name, topics).await?;
                    (None, lag.events, lag.oldest, self.broker().members(&spec.name).await?)
                }
            };
            let health = self.healths().of(&spec.name);
            let of_handler = waiting.get(&spec.handler).filter(|_| spec.shard.is_first());
            let Waiting { retrying, dead, parked } = of_handler.copied().unwrap_or_default();
            handlers.push(HandlerStatus {
                name: spec.name.clone(),
                kind: spec.kind,
                state: lock(&health.state).clone(),
                members,
                checkpoint,
                lag_events,
                lag_seconds: age_seconds(oldest),
                handled: health.handled.load(Ordering::Relaxed),
                skipped: health.skipped.load(Ordering::Relaxed),
                attempts: health.attempts.load(Ordering::Relaxed),
                restarts: health.restarts.load(Ordering::Relaxed),
                retrying,
                dead_letters: dead,
                parked,
            });
        }
        let (service, pid, owners) = (self.service().to_string(), std::process::id(), self.owners().await?);
        Ok(Status { position, service, pid, owners, relay, handlers })
    }

    /// A reader of the log: its checkpoint, how many events it is behind, and when the oldest of them was recorded.
    async fn log_lag(
        &self,
        handler: &str,
        head: Position,
    ) -> Result<(Position, u64, Option<Timestamp>), Error> {
        let stored = checkpoint::read(self.store().as_ref(), handler).await?.unwrap_or(0);
        // What this process knows may be ahead of the row: a checkpoint over other handlers' events is written lazily.
        let checkpoint = stored.max(*self.progress().follow(handler).borrow());
        let lag = head.saturating_sub(checkpoint);
        if lag == 0 {
            return Ok((checkpoint, 0, None));
        }
        let oldest = self.store().read_log(checkpoint, 1).await?;
        Ok((checkpoint, lag, oldest.first().map(|event| event.timestamp)))
    }

    async fn waiting(&self) -> Result<HashMap<String, Waiting>, Error> {
        let rows = self.store().query(sql::COUNT_LETTERS, params![]).await?;
        let mut waiting = HashMap::new();
        for row in rows {
            let counts = Waiting {
                retrying: row.get("retrying")?,
                dead: row.get("dead")?,
                parked: row.get("parked")?,
            };
            waiting.insert(row.get::<String>("handler")?, counts);
        }
        Ok(waiting)
    }
}

fn age_seconds(oldest: Option<Timestamp>) -> f64 {
    oldest.map_or(0.0, |oldest| now().duration_since(oldest).as_secs_f64().max(0.0))
}
