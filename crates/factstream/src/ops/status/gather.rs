//! Puts the status together: what the store says in four questions, then what the broker says of each group, all at once.
//!
//! Invariant: the relay's checkpoint is read before a consumer's lag. What the relay publishes from then on is counted as the
//! consumer's lag, and never by neither.

use super::{BrokerStatus, HandlerStatus, RelayStatus, Status, StoreStatus};
use crate::app::App;
use crate::error::Error;
use crate::health::Counts;
use crate::kernel::names::RELAY;
use crate::kernel::system;
use crate::leases::LeaseOwner;
use crate::processor::Spec;
use crate::processor::checkpoint::{self, Standing};
use crate::registry::{self, Registered};
use crate::statements as sql;
use factstream_core::broker::{Lag, Member};
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sql::now;
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::join;
use uuid::Uuid;

/// How long each of the two rounds may take: together less than a second.
const ROUND: Duration = Duration::from_millis(450);

type Known<T> = Result<T, String>;

/// What the first round finds.
struct Stored {
    head: Known<Position>,
    standing: Known<Standing>,
    waiting: Known<HashMap<String, Waiting>>,
    owners: Known<Vec<LeaseOwner>>,
}

impl Stored {
    fn error(&self) -> Option<String> {
        let errors = [self.head.as_ref().err(), self.standing.as_ref().err()];
        let others = [self.waiting.as_ref().err(), self.owners.as_ref().err()];
        errors.into_iter().chain(others).flatten().next().cloned()
    }

    fn in_log(&self, name: &str, oldest: &Oldest) -> InLog {
        let checkpoint = match &self.standing {
            Ok(standing) => Ok(standing.positions.get(name).copied().unwrap_or(0)),
            Err(error) => Err(format!("checkpoint: {error}")),
        };
        let head = self.head.as_ref().map_err(|error| format!("position: {error}"));
        let lag = checkpoint.clone().and_then(|at| Ok(head?.saturating_sub(at)));
        let seconds = match (&checkpoint, &lag) {
            (_, Ok(0)) => Ok(0.0),
            (Ok(at), Ok(_)) => match oldest.get(at) {
                Some(Ok(oldest)) => Ok(oldest.map_or(0.0, age_seconds)),
                Some(Err(error)) => Err(format!("lag_seconds: {error}")),
                None => Err(format!("lag_seconds: {NOT_ASKED}")),
            },
            (Err(error), _) | (_, Err(error)) => Err(error.clone()),
        };
        InLog { checkpoint, lag, seconds }
    }

    fn of_relay(&self) -> Known<Waiting> {
        let waiting = self.waiting.as_ref().map_err(|error| format!("dead letters: {error}"))?;
        Ok(waiting.get(RELAY).copied().unwrap_or_default())
    }

    fn of_letters(&self, spec: &Spec) -> Known<Waiting> {
        let waiting = self.waiting.as_ref().map_err(|error| format!("dead letters: {error}"))?;
        let of_handler = waiting.get(&spec.handler).filter(|_| spec.shard.is_first());
        Ok(of_handler.copied().unwrap_or_default())
    }
}

/// When the oldest event after a checkpoint was recorded.
type Oldest = HashMap<Position, Known<Option<Timestamp>>>;

#[derive(Default, Clone, Copy)]
struct Waiting {
    retrying: u64,
    for_causes: u64,
    dead: u64,
    parked: u64,
}

/// How far a reader of the log is.
struct InLog {
    checkpoint: Known<Position>,
    lag: Known<u64>,
    seconds: Known<f64>,
}

impl App {
    /// What is going on, as far as the store, the broker and this process know it. Takes less than a second: what does not
    /// answer by then is told as not known, with the reason.
    pub async fn status(&self) -> Status {
        let (stored, broker) = join!(self.stored(), self.asked("broker", ping));
        let (oldest, groups, reasons) =
            join!(self.oldest_unread(&stored), self.groups(), self.relay_reasons(&stored));
        let relay = self.relay_status(&stored, &oldest, reasons);
        let mut groups = groups.into_iter();
        let handlers = self.specs().iter().map(|spec| {
            if spec.source.has_checkpoint() {
                return self.reader_status(spec, &stored, &oldest);
            }
            let asked = groups.next().unwrap_or_else(|| (Err(NOT_ASKED.into()), Err(NOT_ASKED.into())));
            self.consumer_status(spec, &stored, asked)
        });
        let handlers = handlers.collect();
        Status {
            position: stored.head.as_ref().ok().copied(),
            service: self.service().to_string(),
            pid: std::process::id(),
            store: StoreStatus {
                id: self.store_id(),
                namespace: self.system().namespace.as_str().to_owned(),
                answers: stored.head.is_ok(),
                error: stored.error(),
            },
            broker: BrokerStatus { answers: broker.is_ok(), error: broker.err() },
            owners: stored.owners.ok(),
            relay,
            handlers,
        }
    }

    /// Every handler that the store knows, of all services: which build runs it, what it handles, and its generation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn handlers(&self) -> Result<Vec<Registered>, Error> {
        registry::all(self.store().as_ref()).await
    }

    async fn stored(&self) -> Stored {
        let (head, standing, waiting, owners) = join!(
            self.asked("head", |app| async move { app.head().await }),
            self.asked("checkpoints", |app| async move { checkpoint::all(app.store().as_ref()).await }),
            self.asked("letters", |app| async move { waiting(&app).await }),
            self.asked("owners", |app| async move { app.owners().await }),
        );
        let standing = standing.map(|mut standing| {
            // What this process knows may be ahead of the row: a checkpoint over other handlers' events is written lazily.
            let names = self
                .specs()
                .iter()
                .filter(|spec| spec.source.has_checkpoint())
                .map(|spec| spec.name.as_str());
            for name in names.chain([RELAY]) {
                let known = *self.progress().follow(name).borrow();
                let at = standing.positions.entry(name.to_owned()).or_default();
                *at = known.max(*at);
            }
            standing
        });
        Stored { head, standing, waiting, owners }
    }

    /// When the oldest event was recorded that each reader of the log has not come to, by checkpoint. Asks for each
    /// checkpoint that lags, and so for nothing when all is well.
    async fn oldest_unread(&self, stored: &Stored) -> Oldest {
        let (Ok(head), Ok(standing)) = (&stored.head, &stored.standing) else { return HashMap::new() };
        let names = self.specs().iter().map(|spec| spec.name.as_str()).chain([RELAY]);
        let lagging: BTreeSet<Position> =
            names.filter_map(|name| standing.positions.get(name)).copied().filter(|at| at < head).collect();
        let asked = lagging.into_iter().enumerate().map(|(nth, after)| async move {
            let subject = format!("oldest unread {nth}");
            let oldest = self.asked(&subject, move |app| async move {
                let events = app.read_log(after, 1).await?;
                Ok(events.first().map(|event| event.timestamp))
            });
            (after, oldest.await)
        });
        join_all(asked).await.into_iter().collect()
    }

    /// The lag and the members of each group, in the order of the handlers.
    async fn groups(&self) -> Vec<(Known<Lag>, Known<Vec<Member>>)> {
        let groups = self.specs().iter().filter(|spec| !spec.source.has_checkpoint());
        let asked = groups.map(|spec| {
            let (name, source) = (spec.name.clone(), Arc::clone(&spec.source));
            let (group, has_group) = (name.clone(), !source.topics().is_empty());
            let (of_lag, of_members) = (format!("lag of {name}"), format!("members of {name}"));
            async move {
                join!(
                    self.asked(&of_lag, move |app| async move { source.lag(app.kernel(), &name, 0).await }),
                    self.asked(&of_members, move |app| async move {
                        match has_group {
                            true => Ok(app.broker().members(&group).await?),
                            false => Ok(Vec::new()),
                        }
                    }),
                )
            }
        });
        join_all(asked).await
    }

    async fn asked<T, F>(&self, subject: &str, question: impl FnOnce(Self) -> F) -> Known<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.healths().desks.ask(subject, ROUND, question(self.clone())).await
    }

    /// Why keys of the relay wait. Asked for when some do, and so not when all is well.
    async fn relay_reasons(&self, stored: &Stored) -> Known<Vec<String>> {
        let waits = stored.of_relay().is_ok_and(|waiting| waiting.retrying + waiting.dead > 0);
        if !waits {
            return Ok(Vec::new());
        }
        let asked = self.asked("relay reasons", |app| async move {
            let rows = app.store().query(sql::SELECT_RELAY_REASONS, params![RELAY, REASONS_KEYS]).await?;
            let mut reasons = BTreeSet::new();
            for row in &rows {
                reasons.extend(row.get::<Option<String>>("reason")?);
            }
            Ok(reasons.into_iter().take(REASONS_MAX).collect())
        });
        asked.await.map_err(|error| format!("reasons: {error}"))
    }

    fn relay_status(&self, stored: &Stored, oldest: &Oldest, reasons: Known<Vec<String>>) -> RelayStatus {
        let health = self.healths().of(RELAY);
        let InLog { checkpoint, lag, seconds } = stored.in_log(RELAY, oldest);
        let mut unknown = Unknown::default();
        let waiting = unknown.take(stored.of_relay());
        RelayStatus {
            state: health.state(),
            position: unknown.take(checkpoint),
            lag_events: unknown.take(lag),
            lag_seconds: unknown.take(seconds),
            restarts: health.counts().restarts,
            retrying: waiting.map(|waiting| waiting.retrying),
            dead_letters: waiting.map(|waiting| waiting.dead),
            parked: waiting.map(|waiting| waiting.parked),
            reasons: unknown.take(reasons).unwrap_or_default(),
            unknown: unknown.0,
        }
    }

    fn reader_status(&self, spec: &Spec, stored: &Stored, oldest: &Oldest) -> HandlerStatus {
        let mut unknown = Unknown::default();
        let InLog { checkpoint, lag, seconds } = stored.in_log(&spec.name, oldest);
        HandlerStatus {
            members: Some(Vec::new()),
            missed: Some(0),
            checkpoint: unknown.take(checkpoint),
            lag_events: unknown.take(lag),
            lag_seconds: unknown.take(seconds),
            ..self.handler_status(spec, stored, unknown)
        }
    }

    fn consumer_status(
        &self,
        spec: &Spec,
        stored: &Stored,
        (lag, members): (Known<Lag>, Known<Vec<Member>>),
    ) -> HandlerStatus {
        let mut unknown = Unknown::default();
        let lag = unknown.take(lag.map_err(|error| format!("lag: {error}")));
        let lag_seconds = lag.as_ref().and_then(|lag| match (lag.events, lag.oldest) {
            (0, _) => Some(0.0),
            (_, oldest) => oldest.map(age_seconds),
        });
        let members = unknown.take(members.map_err(|error| format!("members: {error}")));
        let clients = members.iter().flatten().map(|member| member.name.as_str());
        let committers = lag.iter().flat_map(|lag| &lag.committers).map(|committer| committer.store_id);
        let others = clients.filter_map(system::store_of_client).chain(committers);
        let others = others.filter(|id| *id != self.store_id());
        let foreign_stores: BTreeSet<Uuid> = others.collect();
        HandlerStatus {
            foreign_stores: foreign_stores.into_iter().collect(),
            members,
            lag_events: lag.as_ref().map(|lag| lag.events),
            missed: lag.as_ref().map(|lag| lag.missed),
            lag_seconds,
            ..self.handler_status(spec, stored, unknown)
        }
    }

    /// What is told of every kind of handler.
    fn handler_status(&self, spec: &Spec, stored: &Stored, mut unknown: Unknown) -> HandlerStatus {
        let health = self.healths().of(&spec.name);
        let Counts { handled, skipped, attempts, restarts } = health.counts();
        let waiting = unknown.take(stored.of_letters(spec));
        let standing = stored.standing.as_ref().map_err(|error| format!("checkpoint: {error}"));
        let late = standing.clone().map(|standing| {
            standing.late.get(&spec.handler).filter(|_| spec.shard.is_first()).copied().unwrap_or(0)
        });
        let generation = standing.map(|standing| standing.generations.get(&spec.handler).copied());
        HandlerStatus {
            name: spec.name.clone(),
            kind: spec.kind,
            generation: unknown.take(generation).flatten(),
            state: health.state(),
            members: None,
            foreign_stores: Vec::new(),
            checkpoint: None,
            lag_events: None,
            lag_seconds: None,
            missed: None,
            handled,
            skipped,
            attempts,
            restarts,
            retrying: waiting.map(|waiting| waiting.retrying),
            waiting: waiting.map(|waiting| waiting.for_causes),
            late: unknown.take(late),
            dead_letters: waiting.map(|waiting| waiting.dead),
            parked: waiting.map(|waiting| waiting.parked),
            unknown: unknown.0,
        }
    }
}

/// Keys that are asked why they wait, and different reasons that are told.
const REASONS_KEYS: usize = 64;
const REASONS_MAX: usize = 5;

const NOT_ASKED: &str = "it was not asked for";

/// The reasons of what is not known, each once.
#[derive(Default)]
struct Unknown(Vec<String>);

impl Unknown {
    fn take<T>(&mut self, known: Known<T>) -> Option<T> {
        let error = match known {
            Ok(known) => return Some(known),
            Err(error) => error,
        };
        if !self.0.contains(&error) {
            self.0.push(error);
        }
        None
    }
}

async fn ping(app: App) -> Result<(), Error> {
    Ok(app.broker().ping().await?)
}

async fn waiting(app: &App) -> Result<HashMap<String, Waiting>, Error> {
    let rows = app.store().query(sql::COUNT_LETTERS, params![]).await?;
    let mut waiting = HashMap::new();
    for row in rows {
        let counts = Waiting {
            retrying: row.get("retrying")?,
            for_causes: row.get("waiting")?,
            dead: row.get("dead")?,
            parked: row.get("parked")?,
        };
        waiting.insert(row.get::<String>("handler")?, counts);
    }
    Ok(waiting)
}

fn age_seconds(oldest: Timestamp) -> f64 {
    now().duration_since(oldest).as_secs_f64().max(0.0)
}
