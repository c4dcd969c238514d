//! Commands of one stream, decided one after the other on the state in memory and appended together.
//!
//! Invariants: each is decided on the state with the events of those before it, and its events follow on theirs: one append with one
//! expected version takes all of them or none (G2). A refusal touches nobody else; what breaks the append is tried alone. On
//! the happy path of a known or a new aggregate nothing is read: the append checks the version. A refusal is only believed when
//! the version that it stands on was checked: by an append, or by a look at the stream. A conflict reloads, decides again and
//! tries again, at most [`ATTEMPTS_MAX`] times.

use crate::command::job::{Answer, Decided, Hidden, Job};
use crate::command::write::{Lost, data_bytes, fell_behind, keep, write};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::kernel::states::State;
use crate::kernel::turns::{Turn, Waiter};
use factstream_core::aggregate::Aggregate;
use factstream_core::envelope::{NewEvent, StreamId, Version};
use factstream_core::store::{Appended, Conflict};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How often a command is decided before a conflict is given up to the caller.
pub const ATTEMPTS_MAX: u32 = 16;

/// Commands that are appended together at most.
const COMMANDS_MAX: usize = 256;
/// Bytes of events after which no further command joins an append.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A command that waits for its turn. Its caller waits, so it is done by a task of its own, with what waits behind it.
pub(crate) struct Queued<A: Aggregate> {
    pub(crate) job: Job<A>,
    pub(crate) kernel: Arc<Kernel>,
}

impl<A: Aggregate> Waiter for Queued<A> {
    fn has_left(&self) -> bool {
        self.job.has_left()
    }

    fn take(self: Box<Self>, turn: Turn) {
        if let Some(runtime) = turn.turns().runtime() {
            runtime.spawn(drive(turn, *self));
        }
    }
}

/// Decides what waits for the stream, from this command on, until nothing that fits is next.
async fn drive<A: Aggregate>(turn: Turn, first: Queued<A>) {
    let kernel = Arc::clone(&first.kernel);
    let mut next = Some(Box::new(first));
    loop {
        let mut jobs: Vec<Job<A>> = Vec::new();
        // A key is recorded with an append of its own.
        let fits = |jobs: &[Job<A>], next: &Job<A>| match jobs {
            [] => true,
            [only] if only.asked.key.is_some() => false,
            jobs => next.asked.key.is_none() && jobs.len() < COMMANDS_MAX,
        };
        while let Some(queued) =
            next.take().or_else(|| turn.next_if(|next: &Queued<A>| fits(&jobs, &next.job)))
        {
            jobs.push(queued.job);
        }
        if jobs.is_empty() {
            return;
        }
        execute(&kernel, turn.stream(), jobs, None).await;
    }
}

/// Decides and appends these, and answers each; `lost_to`: one was decided once, and another process was faster.
pub(crate) async fn execute<A: Aggregate>(
    kernel: &Kernel,
    stream: &StreamId,
    mut jobs: Vec<Job<A>>,
    mut lost_to: Option<Conflict>,
) {
    let together = Together { kernel, stream };
    let mut attempts = u32::from(lost_to.is_some());
    while !jobs.is_empty() {
        if attempts > 1 {
            // Two processes that lost together must not lose together again.
            let jitter = rand::random_range(0..1_000 * u64::from(attempts));
            tokio::time::sleep(Duration::from_micros(jitter)).await;
        }
        match together.attempt(jobs, lost_to.as_ref()).await {
            Attempted::Answered(rest) => (jobs, lost_to, attempts) = (rest, None, 0),
            Attempted::Conflict(again, conflict) => {
                attempts += 1;
                if attempts == ATTEMPTS_MAX {
                    let failed = |job: Job<A>| job.answer(Answer::Failed(Error::Conflict(conflict.clone())));
                    return again.into_iter().for_each(failed);
                }
                (jobs, lost_to) = (again, Some(conflict));
            }
            Attempted::Broken(again) => {
                for job in again {
                    Box::pin(execute(kernel, stream, vec![job], None)).await;
                }
                return;
            }
        }
    }
}

/// What became of an attempt.
enum Attempted<A: Aggregate> {
    /// All are answered but these, whose turn is next.
    Answered(Vec<Job<A>>),
    /// Another process was faster: again.
    Conflict(Vec<Job<A>>, Conflict),
    /// One of them cannot be appended: each alone.
    Broken(Vec<Job<A>>),
}

/// What a command is decided on.
enum Basis<A> {
    /// The state in the cache, which may be old.
    Cached(State<A>),
    /// The state of an aggregate that is not there yet: commands of this type last met such a one.
    New,
    /// What has to be read first, from this state on.
    Behind(Option<State<A>>),
}

/// What was decided on one command.
enum Verdict<A: Aggregate> {
    /// Its events, as the store gives them back, and the state after them where that is wanted.
    Events(Vec<A::Event>, Option<A>),
    Nothing(Option<A>),
    Refused,
    NotExpected,
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

/// What was decided on all of them.
struct Round<A: Aggregate> {
    /// For each the verdict, and the stream's version after it.
    verdicts: Vec<(Verdict<A>, Version)>,
    events: Vec<NewEvent>,
    /// The state after all of them, where it is not the one that they were decided on.
    ahead: Option<State<A>>,
}

struct Together<'a> {
    kernel: &'a Kernel,
    stream: &'a StreamId,
}

impl Together<'_> {
    fn basis<A: Aggregate>(&self, command: &'static str, lost_to: Option<&Conflict>) -> Basis<A> {
        let states = &self.kernel.states;
        match states.take(self.stream) {
            state if lost_to.is_some() => Basis::Behind(state),
            Some(state) => Basis::Cached(state),
            None if states.begins_streams(command) => Basis::New,
            None => Basis::Behind(None),
        }
    }

    async fn load<A: Aggregate>(
        &self,
        command: &'static str,
        known: Option<State<A>>,
    ) -> Result<State<A>, Error> {
        let states = &self.kernel.states;
        let state = states.load(self.kernel.store.as_ref(), self.stream, known).await?;
        states.note_begin(command, state.version == 0);
        Ok(state)
    }

    /// The state to decide on, whether it was read from the store just now, and whether it was in the cache.
    async fn begin<A: Aggregate>(
        &self,
        command: &'static str,
        lost_to: Option<&Conflict>,
    ) -> Result<(State<A>, bool, bool), Error> {
        let begun = match self.basis(command, lost_to) {
            Basis::Cached(state) => (state, false, true),
            Basis::New => (self.kernel.states.begin(), false, false),
            Basis::Behind(state) => (self.load(command, state).await?, true, false),
        };
        check_reaches(&begun.0, lost_to)?;
        Ok(begun)
    }

    /// One decision on each, and their append.
    async fn attempt<A: Aggregate>(&self, mut jobs: Vec<Job<A>>, lost_to: Option<&Conflict>) -> Attempted<A> {
        let command = jobs[0].command_type;
        let (mut state, read, cached) = match self.begin(command, lost_to).await {
            Ok(begun) => begun,
            Err(error) => return failed(jobs, error),
        };
        let mut round = Round::decide(&mut jobs, &state);
        if !read && round.events.is_empty() {
            let version = state.version;
            state = match self.load(command, cached.then_some(state)).await {
                Ok(state) => state,
                Err(error) => return failed(jobs, error),
            };
            if state.version != version {
                round = Round::decide(&mut jobs, &state);
            }
        }
        let rest = jobs.split_off(round.verdicts.len());
        let records_key = matches!((&jobs[..], &round.verdicts[..]),
            ([job], [(Verdict::Nothing(_), _)]) if job.asked.key.is_some());
        if round.events.is_empty() && !records_key {
            let version = state.version;
            self.kernel.states.put(self.stream, state);
            let nothing = Appended { stream: self.stream.clone(), version, position: 0 };
            answer(jobs, round.verdicts, &nothing);
            return Attempted::Answered(rest);
        }
        match self.append(jobs, round, state).await {
            Attempted::Answered(_) => Attempted::Answered(rest),
            Attempted::Conflict(jobs, conflict) => Attempted::Conflict(with(jobs, rest), conflict),
            Attempted::Broken(jobs) => Attempted::Broken(with(jobs, rest)),
        }
    }

    async fn append<A: Aggregate>(
        &self,
        mut jobs: Vec<Job<A>>,
        mut round: Round<A>,
        mut state: State<A>,
    ) -> Attempted<A> {
        let events = std::mem::take(&mut round.events);
        let key = match &jobs[..] {
            [only] => only.asked.key.clone(),
            _ => None,
        };
        let bytes = data_bytes(&events);
        match write(self.kernel, self.stream, &state, events, key).await {
            Ok(appended) => {
                state = match (round.ahead, &mut round.verdicts[..]) {
                    (Some(ahead), _) => ahead,
                    (None, verdicts) => {
                        if let [(Verdict::Events(events, after), _)] = verdicts {
                            state.apply(events, bytes);
                            *after = jobs[0].asked.wants_state.then(|| state.of.clone());
                        }
                        state
                    }
                };
                keep(self.kernel, self.stream, state);
                answer(jobs, round.verdicts, &appended);
                Attempted::Answered(Vec::new())
            }
            Err(Lost::Repeated(first)) => {
                jobs.drain(..).for_each(|job| job.answer(Answer::Repeated(first.clone())));
                Attempted::Answered(Vec::new())
            }
            Err(Lost::Conflict(conflict)) => {
                fell_behind(self.kernel, self.stream, state, &conflict);
                Attempted::Conflict(jobs, conflict)
            }
            Err(Lost::Failed(error)) => failed(jobs, error),
        }
    }
}

impl<A: Aggregate> Round<A> {
    /// Decides one after the other, each on the state with the events of those before it; not all of them, where their events are
    /// large.
    fn decide(jobs: &mut [Job<A>], state: &State<A>) -> Self {
        let is_one = jobs.len() == 1;
        let mut round = Self { verdicts: Vec::with_capacity(jobs.len()), events: Vec::new(), ahead: None };
        let mut bytes = 0;
        for job in jobs {
            if bytes > BYTES_MAX {
                break;
            }
            let now = round.ahead.as_ref().unwrap_or(state);
            let mut version = now.version;
            let verdict = match decide(job, now) {
                Err(verdict) => verdict,
                Ok((stamped, events)) => {
                    version += events.len() as Version;
                    bytes +=
                        stamped.iter().map(|event| event.data.len() + event.metadata.len()).sum::<usize>();
                    let data = data_bytes(&stamped);
                    match round.events.is_empty() {
                        true => round.events = stamped,
                        false => round.events.extend(stamped),
                    }
                    let mut after = None;
                    if !is_one {
                        let ahead = round.ahead.get_or_insert_with(|| state.clone());
                        ahead.apply(&events, data);
                        after = job.asked.wants_state.then(|| ahead.of.clone());
                    }
                    Verdict::Events(events, after)
                }
            };
            round.verdicts.push((verdict, version));
        }
        round
    }
}

/// Events for the store, and as it will give them back.
type Stamped<E> = (Vec<NewEvent>, Vec<E>);

/// The events of one decision, for the store and as it gives them back; or why there are none.
fn decide<A: Aggregate>(job: &mut Job<A>, now: &State<A>) -> Result<Stamped<A::Event>, Verdict<A>> {
    if job.asked.expected.as_ref().is_some_and(|expected| !expected.holds(now.version)) {
        return Err(Verdict::NotExpected);
    }
    match job.decide(&now.of) {
        Decided::Events(events) if events.is_empty() => {
            Err(Verdict::Nothing(job.asked.wants_state.then(|| now.of.clone())))
        }
        Decided::Events(events) => job.asked.origin.stamp_all(&events).map_err(Verdict::Failed),
        Decided::Refused => Err(Verdict::Refused),
        Decided::Panicked(panic) => Err(Verdict::Panicked(panic)),
    }
}

/// Tells each caller what came of its command; `appended` is where the last event of all ended up.
fn answer<A: Aggregate>(jobs: Vec<Job<A>>, verdicts: Vec<(Verdict<A>, Version)>, appended: &Appended) {
    for (job, (verdict, version)) in jobs.into_iter().zip(verdicts) {
        let answer = match verdict {
            Verdict::Events(events, state) => {
                let position = appended.position - (appended.version - version);
                Answer::Appended { version, position, events, state }
            }
            // With a key, it was recorded.
            Verdict::Nothing(state) if appended.position > 0 && job.asked.key.is_some() => {
                Answer::Appended { version, position: appended.position, events: Vec::new(), state }
            }
            Verdict::Nothing(state) => Answer::Nothing { version, state },
            Verdict::Refused => Answer::Refused(Hidden),
            Verdict::NotExpected => Answer::NotExpected { actual: version },
            Verdict::Failed(error) => Answer::Failed(error),
            Verdict::Panicked(panic) => Answer::Panicked(panic),
        };
        job.answer(answer);
    }
}

/// What fails for all of them alike is told to all; what one of them may have done is found out by trying each alone.
fn failed<A: Aggregate>(mut jobs: Vec<Job<A>>, error: Error) -> Attempted<A> {
    match error {
        Error::Store(error) if error.is_infrastructure() => {
            for job in jobs {
                job.answer(Answer::Failed(error.clone().into()));
            }
        }
        error => match jobs.pop() {
            Some(job) if jobs.is_empty() => job.answer(Answer::Failed(error)),
            last => return Attempted::Broken(with(jobs, last.into_iter().collect())),
        },
    }
    Attempted::Answered(Vec::new())
}

fn with<T>(mut these: Vec<T>, others: Vec<T>) -> Vec<T> {
    these.extend(others);
    these
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
