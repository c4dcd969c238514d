//! Many commands in one call: those of different aggregates are appended in one group, those of one aggregate in their order.
//!
//! Invariant: each has an outcome of its own, and none waits for what another aggregate refuses.

use crate::app::App;
use crate::command::execute::Executed;
use crate::command::job::{Answer, Asked, Job};
use crate::command::together;
use crate::error::{Error, ExecuteError};
use crate::kernel::inside;
use crate::refusals;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::{Position, StreamId};
use factstream_core::store::StoreError;
use futures_util::stream::{self, StreamExt};
use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use tokio::sync::oneshot::Receiver;

/// Aggregates whose commands are under way at a time: as many as the engines append in one commit.
const STREAMS_MAX: usize = 512;
/// Commands of one aggregate that are appended together.
const COMMANDS_MAX: usize = 256;

/// What one of the commands came to.
type OutcomeOf<A, C> = Result<Executed<<A as Aggregate>::Event>, ExecuteError<<C as Command<A>>::Error>>;

impl App {
    /// Executes many commands, each on the aggregate whose id stands beside it, and gives the outcome of each, in their order.
    ///
    /// Those of different aggregates are appended together, in as few commits as the store needs; they are not one transaction: one that is
    /// refused touches no other ([`App::transaction`] is for all or nothing). Those of one aggregate are decided in their order, each on the
    /// state that the ones before it have left. None has an idempotency key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let app = shop().await;
    ///
    /// let commands = [("o-1", create()), ("o-2", create()), ("o-1", ship())];
    /// let outcomes = app.execute_all::<Order, _>(commands).await?;
    /// assert_eq!(outcomes.len(), 3);
    /// assert_eq!(outcomes[2].as_ref().map(|shipped| shipped.version).ok(), Some(2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When none was executed: inside a transaction ([`Error::InsideTransaction`]), an aggregate that cannot be used, an id that is none. What one
    /// command came to is its outcome.
    pub async fn execute_all<A: Aggregate, C: Command<A> + 'static>(
        &self,
        commands: impl IntoIterator<Item = (impl Into<String>, C)>,
    ) -> Result<Vec<OutcomeOf<A, C>>, Error> {
        inside::refuse(self.store_id(), "App::execute_all")?;
        self.kernel().states.admit::<A>()?;
        let mut by_stream: HashMap<StreamId, Vec<Job<A>>> = HashMap::new();
        let mut order: Vec<StreamId> = Vec::new();
        let mut answers = Vec::new();
        for (id, command) in commands {
            let stream = StreamId::new(A::TYPE, id.into())?;
            let (job, answer) = Job::new(command, Asked::of(self.kernel().origin()));
            let jobs = by_stream.entry(stream.clone()).or_default();
            if jobs.is_empty() {
                order.push(stream.clone());
            }
            jobs.push(job);
            answers.push((stream, answer));
        }
        let work = order.into_iter().map(|stream| {
            let jobs = by_stream.remove(&stream).unwrap_or_default();
            self.of_stream(stream, jobs)
        });
        let busy: HashMap<StreamId, String> =
            stream::iter(work).buffer_unordered(STREAMS_MAX).filter_map(std::future::ready).collect().await;
        let mut head = None;
        let mut outcomes = Vec::with_capacity(answers.len());
        for (stream, answer) in answers {
            outcomes.push(self.outcome_of::<A, C>(stream, answer, &busy, &mut head).await?);
        }
        refusals::register::<C::Error>();
        Ok(outcomes)
    }

    /// Executes the commands of one aggregate; why none was, if its turn did not come.
    async fn of_stream<A: Aggregate>(
        &self,
        stream: StreamId,
        mut jobs: Vec<Job<A>>,
    ) -> Option<(StreamId, String)> {
        let turns = match self.kernel().turns.of_all(&BTreeSet::from([stream.clone()])).await {
            Ok(turns) => turns,
            Err(Error::StreamBusy { reason, .. }) => return Some((stream, reason)),
            Err(error) => return Some((stream, error.to_string())),
        };
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(COMMANDS_MAX));
            together::execute(self.kernel(), &stream, jobs, None).await;
            jobs = rest;
        }
        drop(turns);
        None
    }

    /// The outcome of a command, as its caller is told it. The outer error: the head could not be read.
    async fn outcome_of<A: Aggregate, C: Command<A>>(
        &self,
        stream: StreamId,
        mut answer: Receiver<Answer<A, C::Error>>,
        busy: &HashMap<StreamId, String>,
        head: &mut Option<Position>,
    ) -> Result<OutcomeOf<A, C>, Error> {
        let Ok(answered) = answer.try_recv() else {
            let failed = match busy.get(&stream) {
                Some(reason) => Error::StreamBusy { stream, reason: reason.clone() },
                None => StoreError::Unknown("a command ended before it was answered".to_owned()).into(),
            };
            return Ok(Err(failed.into()));
        };
        Ok(match answered {
            Answer::Appended { version, position, events, .. } => {
                Ok(Executed::new(stream.id(), version, position, events))
            }
            Answer::Nothing { version, .. } => {
                let at = match *head {
                    Some(at) => at,
                    None => *head.insert(self.head().await?),
                };
                Ok(Executed::new(stream.id(), version, at, Vec::new()))
            }
            Answer::Refused(refusal) => Err(ExecuteError::Rejected(refusal)),
            Answer::Failed(error) => Err(error.into()),
            Answer::Panicked(panic) => resume_unwind(panic),
            Answer::Repeated(_) | Answer::NotExpected { .. } => {
                unreachable!("it has no key and expects no version")
            }
        })
    }
}
