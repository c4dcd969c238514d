//! What a caller meets: a command to execute, how it is to be executed, and what came of it. G2 and G4.

use crate::app::App;
use crate::command::at_once;
use crate::command::job::{Answer, Asked, Job};
use crate::command::key::{command_key, without_paths};
use crate::command::together::Queued;
use crate::error::{Error, ExecuteError};
use crate::kernel::inside;
use crate::{refusals, statements as sql};
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::context::Context;
use factstream_core::envelope::{Position, StreamId, Version};
use factstream_core::expected::ExpectedVersion;
use factstream_core::params;
use factstream_core::store::{Appended, CommandKey, FirstUse, Outcome, StoreError};
use serde::Serialize;
use std::any::type_name;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use uuid::Uuid;

/// The outcome of an executed command.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
///
/// let created = app.execute("o-1", create()).key("request-1").await?;
/// assert_eq!((created.version, created.repeated), (1, false));
/// assert_eq!(created.events, [OrderEvent::Created { customer_id: "c-1".into() }]);
///
/// let again = app.execute("o-1", create()).key("request-1").await?;
/// assert_eq!((again.position, again.repeated), (created.position, true));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Executed<E> {
    /// The aggregate. With a repeated key of [`App::create`] it is the one of the first time.
    pub aggregate_id: String,
    /// The stream's version after it.
    pub version: Version,
    /// The position of its last event: what to `wait_for`.
    pub position: Position,
    /// The events that it recorded. None when it had nothing to change, or when its key had been used before.
    pub events: Vec<E>,
    /// Whether the key had been used before, so that nothing new happened.
    pub repeated: bool,
}

/// Without the events' contents, which may be personal.
impl<E> fmt::Debug for Executed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregate_id, version, position, events, repeated } = self;
        f.debug_struct("Executed")
            .field("aggregate_id", aggregate_id)
            .field("version", version)
            .field("position", position)
            .field("events", &events.len())
            .field("repeated", repeated)
            .finish()
    }
}

impl<E> Executed<E> {
    pub(super) fn new(id: &str, version: Version, position: Position, events: Vec<E>) -> Self {
        Self { aggregate_id: id.to_owned(), version, position, events, repeated: false }
    }

    fn repeated(first: Appended) -> Self {
        let Appended { stream, version, position } = first;
        Self { aggregate_id: stream.id().to_owned(), version, position, events: Vec::new(), repeated: true }
    }
}

/// A command that is about to be executed; `.await` it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
///
/// use factstream::{Error, ExecuteError};
///
/// let created = app.execute("o-1", create()).await?;
/// let shipped = app.execute("o-1", ship()).key("ship o-1").expect_version(created.version).await?;
/// assert_eq!(shipped.version, 2);
///
/// // Somebody else saw version 1, and decides on what is not so any more.
/// let late = app.execute("o-1", ship()).expect_version(1).await;
/// assert!(matches!(late, Err(ExecuteError::Failed(Error::VersionMismatch { .. }))));
/// # Ok(())
/// # }
/// ```
#[must_use = "a command does nothing until it is awaited"]
pub struct Execute<'a, A, C> {
    app: &'a App,
    id: String,
    command: C,
    key: Option<Result<CommandKey, Error>>,
    expected: Option<ExpectedVersion>,
    context: Option<Context>,
    id_is_made_up: bool,
    aggregate: PhantomData<fn() -> A>,
}

/// Without the command, whose content may be personal.
impl<A: Aggregate, C> fmt::Debug for Execute<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute")
            .field("aggregate", &format_args!("{}/{}", A::TYPE, self.id))
            .field("command", &without_paths(type_name::<C>()))
            .field("expected", &self.expected)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl<'a, A: Aggregate, C: Command<A> + 'static> Execute<'a, A, C> {
    pub(crate) fn new(app: &'a App, id: String, command: C) -> Self {
        let (key, expected, context) = (None, None, None);
        Self { app, id, command, key, expected, context, id_is_made_up: false, aggregate: PhantomData }
    }

    /// An idempotency key: the command takes effect once, a repeat returns the first outcome (G4).
    ///
    /// The key stands for this command on this aggregate. Used again for another command, another content or another aggregate it is
    /// refused ([`Error::KeyReused`]), and nothing is stored. A digest of the command's JSON is kept with the key.
    ///
    /// A command that cannot be serialized, or that holds what differs each time it is sent (the time, a new id), takes
    /// [`Execute::key_for`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let app = shop().await;
    /// use factstream::{Error, ExecuteError};
    ///
    /// let create = |customer: &str| OrderCommand::Create { customer_id: customer.into() };
    /// app.execute("o-1", create("c-1")).key("request-1").await?;
    ///
    /// let another = app.execute("o-1", create("c-2")).key("request-1").await;
    /// assert!(matches!(another, Err(ExecuteError::Failed(Error::KeyReused { .. }))));
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self
    where
        C: Serialize,
    {
        self.key = Some(command_key::<A, C>(key.into(), &self.command));
        self
    }

    /// As [`Execute::key`], with `content` in place of the command's own: for example the request that the command was made from. `&()` says
    /// that the type of the command is enough.
    ///
    /// ```
    /// # use factstream::{Aggregate, App, Command};
    /// # async fn example<A: Aggregate, C: Command<A> + 'static>(app: &App, pay: C) -> Result<(), Box<dyn std::error::Error>> {
    /// let request = ("invoice-7", 1_999);
    /// app.execute::<A, C>("invoice-7", pay).key_for("request-1", &request).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key_for(mut self, key: impl Into<String>, content: &(impl Serialize + ?Sized)) -> Self {
        self.key = Some(command_key::<A, C>(key.into(), content));
        self
    }

    /// Executes the command only if the aggregate is at this version: the one that its user has seen (0: it must not exist yet).
    /// Otherwise nothing happens, and [`Error::VersionMismatch`] has the version that it is at.
    pub fn expect_version(mut self, version: Version) -> Self {
        self.expected = Some(version.into());
        self
    }

    /// As [`Execute::expect_version`], with several versions, or any at which the aggregate exists.
    pub fn expect(mut self, expected: ExpectedVersion) -> Self {
        self.expected = Some(expected);
        self
    }

    /// Who asks, in which conversation and trace: recorded with the events, sent along with their messages, and carried on by handlers to
    /// what they cause.
    ///
    /// What it does not say, and a command without one: in a handler, for example in
    /// [`ExternalHandler::call`](crate::ExternalHandler::call), is that of the event; elsewhere a command begins a conversation of its own.
    ///
    /// ```
    /// # use factstream::{Aggregate, App, Command, Context};
    /// # async fn example<A: Aggregate, C: Command<A> + 'static>(app: &App, withdraw: C) -> Result<(), Box<dyn std::error::Error>> {
    /// let context = Context::new().actor("user-7").correlation_id("request-42");
    /// app.execute::<A, C>("account-7", withdraw).context(&context).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// Also returns the aggregate's state after the command.
    ///
    /// ```
    /// # use factstream::{Aggregate, App, Command};
    /// # async fn example<A: Aggregate, C: Command<A> + 'static>(app: &App, withdraw: C) -> Result<(), Box<dyn std::error::Error>> {
    /// let (executed, account) = app.execute::<A, C>("account-7", withdraw).with_state().await?;
    /// # let _ = (executed.version, account);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_state(self) -> ExecuteWithState<'a, A, C> {
        ExecuteWithState(self)
    }

    async fn run(self, wants_state: bool) -> Result<(Executed<A::Event>, Option<A>), ExecuteError<C::Error>> {
        inside::refuse(self.app.store_id(), "App::execute")?;
        self.app.kernel().states.admit::<A>()?;
        let Self { app, id, command, key, expected, context, id_is_made_up, .. } = self;
        let key = key.transpose()?.map(|key| if id_is_made_up { key.for_new_id() } else { key });
        let origin = app.kernel().origin_of(context.as_ref())?;
        let stream = StreamId::new(A::TYPE, id).map_err(Error::from)?;
        let asked = Asked { key: key.clone(), expected: expected.clone(), origin, wants_state };
        let answered = if let Some(turn) = app.kernel().turns.enter(&stream) {
            let answered = at_once::execute(app.kernel(), &stream, command, asked).await;
            drop(turn);
            answered
        } else {
            let (job, answer) = Job::new(command, asked);
            let queued = Queued { job, kernel: Arc::clone(app.kernel()) };
            app.kernel().turns.queue(&stream, Box::new(queued), answer).await?
        };
        let Some(answered) = answered else {
            let text = "the task that was to execute the command ended before it answered".to_owned();
            return Err(Error::Store(StoreError::Unknown(text)).into());
        };
        let executed = |version, position, events| Executed::new(stream.id(), version, position, events);
        let refused = match answered {
            Answer::Appended { version, position, events, state } => {
                return Ok((executed(version, position, events), state));
            }
            Answer::Nothing { version, state } => {
                return Ok((executed(version, app.head().await?, Vec::new()), state));
            }
            Answer::Repeated(first) => return app.repeated(first, wants_state).await,
            Answer::Failed(error) => return Err(error.into()),
            Answer::Panicked(panic) => resume_unwind(panic),
            Answer::Refused(refusal) => ExecuteError::Rejected(refusal),
            Answer::NotExpected { actual } => {
                let expected = expected.unwrap_or(ExpectedVersion::Existing);
                Error::VersionMismatch { stream: stream.clone(), expected, actual }.into()
            }
        };
        // A repeat may find the aggregate in a state that refuses it.
        match app.first_outcome(&stream, key.as_ref()).await? {
            Some(first) => app.repeated(first, wants_state).await,
            None => Err(refused),
        }
    }
}

impl<'a, A: Aggregate, C: Command<A> + 'static> IntoFuture for Execute<'a, A, C> {
    type Output = Result<Executed<A::Event>, ExecuteError<C::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { Ok(known(self.run(false).await)?.0) })
    }
}

/// A command that is about to be executed, and the state after it; `.await` it.
#[must_use = "a command does nothing until it is awaited"]
pub struct ExecuteWithState<'a, A, C>(Execute<'a, A, C>);

impl<A: Aggregate, C> fmt::Debug for ExecuteWithState<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExecuteWithState").field(&self.0).finish()
    }
}

impl<'a, A: Aggregate, C: Command<A> + 'static> IntoFuture for ExecuteWithState<'a, A, C> {
    type Output = Result<(Executed<A::Event>, A), ExecuteError<C::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async {
            let (executed, state) = known(self.0.run(true).await)?;
            Ok((executed, state.expect("a state that is wanted comes with every success")))
        })
    }
}

/// A handler that passes the error on with `?` is understood.
fn known<T, E: std::error::Error + 'static>(
    result: Result<T, ExecuteError<E>>,
) -> Result<T, ExecuteError<E>> {
    result.inspect_err(|_| refusals::register::<E>())
}

impl App {
    /// Executes a command on the aggregate `id`: loads its state, decides, appends; again when another process was faster.
    ///
    /// Callers of one aggregate queue, in the order in which they came. Those that wait together are decided one after the other
    /// and appended together, each with its own outcome.
    ///
    /// The aggregate type is inferred where the command belongs to one aggregate only.
    ///
    /// # Errors
    /// [`ExecuteError::Rejected`] with the aggregate's own words, [`Error::StreamBusy`] when too many callers wait for the aggregate,
    /// [`Error::Conflict`] when other processes were faster [`ATTEMPTS_MAX`](crate::ATTEMPTS_MAX) times, [`Error::KeyReused`], [`Error::VersionMismatch`],
    /// or what the store reports.
    pub fn execute<A: Aggregate, C: Command<A> + 'static>(
        &self,
        id: impl Into<String>,
        command: C,
    ) -> Execute<'_, A, C> {
        Execute::new(self, id.into(), command)
    }

    /// Executes a command on a new aggregate, whose id is made up here: a UUID, ordered by time.
    ///
    /// With [`Execute::key`], a repeat makes up another id and yet returns the first outcome: [`Executed::aggregate_id`] is the
    /// aggregate that was created the first time.
    ///
    /// # Errors
    /// As [`App::execute`].
    pub fn create<A: Aggregate, C: Command<A> + 'static>(&self, command: C) -> Execute<'_, A, C> {
        let id = Uuid::now_v7().to_string();
        Execute { id_is_made_up: true, ..Execute::new(self, id, command) }
    }

    /// The state of an aggregate and its version (0 without events), as the store has it now.
    ///
    /// # Errors
    /// When its events cannot be read or decoded.
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<(A, Version), Error> {
        let stream = StreamId::new(A::TYPE, id)?;
        let known = self.kernel().states.peek::<A>(&stream);
        let state = self.kernel().states.load(self.store().as_ref(), &stream, known).await?;
        self.kernel().states.put(&stream, state.clone());
        Ok((state.of, state.version))
    }

    /// The state of an aggregate as it was at `version`; `None` when its stream is shorter.
    ///
    /// # Errors
    /// As [`App::load`].
    pub async fn load_at<A: Aggregate>(&self, id: &str, version: Version) -> Result<Option<A>, Error> {
        let stream = StreamId::new(A::TYPE, id)?;
        self.kernel().states.load_at(self.store().as_ref(), &stream, version).await
    }

    /// The outcome of a repeat; the state is the aggregate's of today.
    async fn repeated<A: Aggregate, E: std::error::Error>(
        &self,
        first: Appended,
        wants_state: bool,
    ) -> Result<(Executed<A::Event>, Option<A>), ExecuteError<E>> {
        let state = match wants_state {
            true => Some(self.load(first.stream.id()).await?.0),
            false => None,
        };
        Ok((Executed::repeated(first), state))
    }

    /// What the key came to before, if it was used.
    async fn first_outcome(
        &self,
        stream: &StreamId,
        key: Option<&CommandKey>,
    ) -> Result<Option<Appended>, Error> {
        let Some(key) = key else { return Ok(None) };
        let rows = self.store().query(sql::SELECT_COMMAND_KEY, params![key.key()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (aggregate_type, id): (String, String) = (row.get("aggregate_type")?, row.get("aggregate_id")?);
        let (version, position) = (row.get("version")?, row.get("position")?);
        let appended = Appended { stream: StreamId::new(aggregate_type, id)?, version, position };
        let first = FirstUse { fingerprint: row.get("fingerprint")?, appended };
        match key.again(stream, &first) {
            Outcome::KeyReused { key, first_used_for } => Err(Error::KeyReused { key, first_used_for }),
            _ => Ok(Some(first.appended)),
        }
    }
}
