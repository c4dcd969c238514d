//! A command on its way to the store: load the state, decide, append. G2 and G4 for whoever calls.
//!
//! Invariants: on the happy path of a known or a new aggregate nothing is read: the append checks the version. A refusal that
//! was decided on what is not read from the store is only believed after the stream was looked at. A conflict reloads, decides
//! again and tries again, at most [`ATTEMPTS_MAX`] times.

use crate::app::App;
use crate::error::{Error, ExecuteError};
use crate::origin::Origin;
use crate::statements as sql;
use crate::states::State;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::{Position, StreamId, Version};
use factstream_core::params;
use factstream_core::store::{Append, Appended, CommandKey, Conflict, Expected, FirstUse, Outcome};
use std::any::type_name;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often a command is decided before a conflict is given up to the caller.
pub const ATTEMPTS_MAX: u32 = 16;

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The aggregate. With a repeated key of [`App::create`] it is the one of the first time.
    pub aggregate_id: String,
    /// The stream's version after it.
    pub version: Version,
    /// The position of its last event: what to `wait_for`.
    pub position: Position,
    /// Whether the key had been used before, so that nothing new happened.
    pub repeated: bool,
}

impl Done {
    fn new(appended: Appended, repeated: bool) -> Self {
        let Appended { stream, version, position } = appended;
        Self { aggregate_id: stream.id().to_owned(), version, position, repeated }
    }
}

/// A command that is about to be executed; `.await` it.
#[must_use = "a command does nothing until it is awaited"]
pub struct Execute<'a, A, C> {
    app: &'a App,
    id: String,
    command: C,
    key: Option<String>,
    fingerprint: Option<String>,
    id_is_made_up: bool,
    aggregate: PhantomData<fn() -> A>,
}

impl<'a, A: Aggregate, C: Command<A>> Execute<'a, A, C> {
    pub(crate) fn new(app: &'a App, id: String, command: C) -> Self {
        let (key, fingerprint, aggregate) = (None, None, PhantomData);
        Self { app, id, command, key, fingerprint, id_is_made_up: false, aggregate }
    }

    /// An idempotency key: the command takes effect once, a repeat returns the first outcome (G4). The same key for another
    /// command or another aggregate is refused ([`Error::KeyReused`]).
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// What else the key stands for, beside the command's type and the aggregate, so that a key that is used again for
    /// something else is refused ([`Error::KeyReused`]): for example a digest of the request.
    pub fn fingerprint(mut self, fingerprint: impl Into<String>) -> Self {
        self.fingerprint = Some(fingerprint.into());
        self
    }

    async fn run(self) -> Result<Done, ExecuteError<C::Error>> {
        let stream = StreamId::new(A::CATEGORY, self.id).map_err(Error::from)?;
        self.app.states().admit::<A>()?;
        let key = match self.key {
            Some(key) => Some(command_key::<A, C>(key, self.fingerprint).map_err(Error::from)?),
            None => None,
        };
        let key = if self.id_is_made_up { key.map(CommandKey::for_new_id) } else { key };
        let app = self.app;
        let attempt = Attempt { app, stream, command: &self.command, key, aggregate: PhantomData };
        let mut basis = attempt.basis();
        let mut last_conflict = None;
        for number in 0..ATTEMPTS_MAX {
            if number > 1 {
                // Two callers that lost together must not lose together again.
                let jitter = rand::random_range(0..1_000 * u64::from(number));
                tokio::time::sleep(Duration::from_micros(jitter)).await;
            }
            match attempt.run(basis, last_conflict.as_ref()).await? {
                Ok(done) => return Ok(done),
                Err(conflict) => last_conflict = Some(conflict),
            }
            basis = attempt.basis_behind();
        }
        let conflict =
            last_conflict.expect("at least one attempt was made, and each ends the loop or conflicts");
        Err(Error::Conflict(conflict).into())
    }
}

impl<'a, A: Aggregate, C: Command<A> + 'a> IntoFuture for Execute<'a, A, C> {
    type Output = Result<Done, ExecuteError<C::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn command_key<A: Aggregate, C>(
    key: String,
    fingerprint: Option<String>,
) -> Result<CommandKey, factstream_core::envelope::InvalidId> {
    let command = type_name::<C>().rsplit("::").next().unwrap_or_default();
    let fingerprint = fingerprint.unwrap_or_default();
    let separator = if fingerprint.is_empty() { "" } else { " " };
    CommandKey::new(key, format!("{}/{command}{separator}{fingerprint}", A::CATEGORY))
}

/// What a command is decided on.
enum Basis<A> {
    /// The state in the cache, which may be old.
    Cached(State<A>),
    /// The state of an aggregate that is not there yet: commands of this type last met such a one.
    New,
    /// A state that is old: what came after it has to be read first.
    Behind(State<A>),
    /// What has to be read first.
    Unknown,
}

/// After a conflict the stream is read as far as the store said that it goes; else events of it were deleted.
fn check_reaches<A>(state: &State<A>, lost_to: Option<&Conflict>) -> Result<(), Error> {
    match lost_to {
        Some(Conflict { stream, actual, .. }) if state.version < *actual => {
            Err(Error::Horizon { stream: stream.clone(), missing: state.version + 1, reaches: *actual })
        }
        _ => Ok(()),
    }
}

struct Attempt<'a, A, C> {
    app: &'a App,
    stream: StreamId,
    command: &'a C,
    key: Option<CommandKey>,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate, C: Command<A>> Attempt<'_, A, C> {
    fn basis(&self) -> Basis<A> {
        match self.app.states().take(&self.stream) {
            Some(state) => Basis::Cached(state),
            None if self.app.states().begins_streams(type_name::<C>()) => Basis::New,
            None => Basis::Unknown,
        }
    }

    /// After a conflict.
    fn basis_behind(&self) -> Basis<A> {
        self.app.states().take(&self.stream).map_or(Basis::Unknown, Basis::Behind)
    }

    /// One decision and its append. The inner error is a conflict.
    async fn run(
        &self,
        basis: Basis<A>,
        lost_to: Option<&Conflict>,
    ) -> Result<Result<Done, Conflict>, ExecuteError<C::Error>> {
        let (mut state, read, cached) = match basis {
            Basis::Cached(state) => (state, false, true),
            Basis::New => (self.app.states().begin(), false, false),
            Basis::Behind(state) => (self.load(Some(state)).await?, true, false),
            Basis::Unknown => (self.load(None).await?, true, false),
        };
        check_reaches(&state, lost_to)?;
        let mut decided = self.command.decide(&state.of);
        let changes_nothing = decided.as_ref().map_or(true, Vec::is_empty);
        if !read && changes_nothing {
            let version = state.version;
            state = self.load(cached.then_some(state)).await?;
            if state.version != version {
                decided = self.command.decide(&state.of);
            }
        }
        match decided {
            Ok(events) if events.is_empty() && self.key.is_none() => {
                let done = Done {
                    aggregate_id: self.stream.id().to_owned(),
                    version: state.version,
                    position: self.app.position().await?,
                    repeated: false,
                };
                self.app.states().put(&self.stream, state);
                Ok(Ok(done))
            }
            Ok(events) => self.append(state, &events).await,
            Err(refusal) => {
                self.app.states().put(&self.stream, state);
                match self.first_outcome().await? {
                    Some(done) => Ok(Ok(done)),
                    None => Err(ExecuteError::Rejected(refusal)),
                }
            }
        }
    }

    async fn load(&self, known: Option<State<A>>) -> Result<State<A>, Error> {
        let states = self.app.states();
        let state = states.load(self.app.store().as_ref(), &self.stream, known).await?;
        states.note_begin(type_name::<C>(), state.version == 0);
        Ok(state)
    }

    async fn append(
        &self,
        mut state: State<A>,
        events: &[A::Event],
    ) -> Result<Result<Done, Conflict>, ExecuteError<C::Error>> {
        let origin = Origin::command(self.app.service());
        let (stamped, events) = origin.stamp_all(events)?;
        let bytes = stamped.iter().map(|event| event.data.len()).sum();
        let append =
            Append { stream: self.stream.clone(), expected: Expected::Exact(state.version), events: stamped };
        match self.app.store().append(append, self.key.clone()).await? {
            Outcome::Appended(appended) => {
                state.apply(&events, bytes);
                self.app.states().snapshot_if_due(self.app.store(), &self.stream, &mut state);
                self.app.states().put(&self.stream, state);
                Ok(Ok(Done::new(appended, false)))
            }
            Outcome::Repeated(first) => Ok(Ok(Done::new(first, true))),
            Outcome::Conflict(conflict) => {
                // Of a stream that is not new nothing was read yet: a snapshot may be nearer than its beginning.
                if state.version > 0 {
                    self.app.states().put(&self.stream, state);
                    self.app.states().fell_behind(&conflict);
                }
                Ok(Err(conflict))
            }
            Outcome::KeyReused { key, first_used_for } => {
                Err(Error::KeyReused { key, first_used_for }.into())
            }
        }
    }

    /// What the key came to before, if it was used: a repeat may find the aggregate in a state that refuses it.
    async fn first_outcome(&self) -> Result<Option<Done>, Error> {
        let Some(key) = &self.key else { return Ok(None) };
        let rows = self.app.store().query(sql::SELECT_COMMAND_KEY, params![key.key()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (category, id): (String, String) = (row.get("aggregate_type")?, row.get("aggregate_id")?);
        let (version, position) = (row.get("version")?, row.get("position")?);
        let appended = Appended { stream: StreamId::new(category, id)?, version, position };
        let first = FirstUse { fingerprint: row.get("fingerprint")?, appended };
        match key.again(&self.stream, &first) {
            Outcome::KeyReused { key, first_used_for } => Err(Error::KeyReused { key, first_used_for }),
            _ => Ok(Some(Done::new(first.appended, true))),
        }
    }
}

impl App {
    /// Executes a command on the aggregate `id`: loads its state, decides, appends; again on a conflict.
    ///
    /// The aggregate type is inferred where the command belongs to one aggregate only.
    ///
    /// # Errors
    /// [`ExecuteError::Rejected`] with the aggregate's own words, [`Error::Conflict`] when other writers were faster
    /// [`ATTEMPTS_MAX`] times, [`Error::KeyReused`], or what the store reports.
    pub fn execute<A: Aggregate, C: Command<A>>(
        &self,
        id: impl Into<String>,
        command: C,
    ) -> Execute<'_, A, C> {
        Execute::new(self, id.into(), command)
    }

    /// Executes a command on a new aggregate, whose id is made up here: a UUID, ordered by time.
    ///
    /// With [`Execute::key`], a repeat makes up another id and yet returns the first outcome: [`Done::aggregate_id`] is the
    /// aggregate that was created the first time.
    ///
    /// # Errors
    /// As [`App::execute`].
    pub fn create<A: Aggregate, C: Command<A>>(&self, command: C) -> Execute<'_, A, C> {
        let id = Uuid::now_v7().to_string();
        Execute { id_is_made_up: true, ..Execute::new(self, id, command) }
    }

    /// The state of an aggregate and its version (0 without events), as the store has it now.
    ///
    /// # Errors
    /// When its events cannot be read or decoded.
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<(A, Version), Error> {
        let stream = StreamId::new(A::CATEGORY, id)?;
        let known = self.states().peek::<A>(&stream);
        let state = self.states().load(self.store().as_ref(), &stream, known).await?;
        self.states().put(&stream, state.clone());
        Ok((state.of, state.version))
    }

    /// The state of an aggregate as it was at `version`; `None` when its stream is shorter.
    ///
    /// # Errors
    /// As [`App::load`].
    pub async fn load_at<A: Aggregate>(&self, id: &str, version: Version) -> Result<Option<A>, Error> {
        let stream = StreamId::new(A::CATEGORY, id)?;
        self.states().load_at(self.store().as_ref(), &stream, version).await
    }

    pub(crate) fn command_origin(&self) -> Origin {
        Origin::command(Arc::clone(&self.service()))
    }
}
