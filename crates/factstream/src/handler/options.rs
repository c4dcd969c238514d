//! How a handler is run: retries, parallelism, batches, limits.

use super::causal::Causal;
use super::retry::Retry;
use crate::error::Error;
use std::time::Duration;

/// What a consumer does with an event type that none of its handlers names (G12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnknownTypes {
    /// Skips it and counts it: the topic carries events that are not for this consumer.
    #[default]
    Skip,
    /// Makes it a dead letter: every event of the topic must be understood.
    DeadLetter,
}

/// What a consumer does with a tombstone: a record without a value, by which a producer has a compacted topic forget a key.
///
/// Before any of this, [`Consumer::decode_with`](crate::Consumer::decode_with) may make an event of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tombstones {
    /// Skips and counts one that names no event type of this consumer: it is for the broker, and says nothing that a
    /// handler could be given. One that names such a type is an event whose content is missing, and a dead letter.
    #[default]
    SkipBare,
    /// Skips and counts them all.
    Skip,
    /// Makes them all dead letters.
    DeadLetter,
}

/// Where a process begins that a store has not seen before.
///
/// ```
/// use factstream::Start;
///
/// assert_ne!(Start::Now, Start::Beginning);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// After the newest event that is in the log, and behind the newest record of its topics, when the process is first opened: what has
    /// happened before is not its matter.
    Now,
    /// At the oldest event of the log, and the oldest record of its topics: it reacts to all of history, with commands and all.
    Beginning,
}

/// How a handler is run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Options {
    pub(crate) retry: Retry,
    pub(crate) concurrency: usize,
    pub(crate) batch_events_max: usize,
    pub(crate) time_limit: Duration,
    pub(crate) unknown_types: UnknownTypes,
    pub(crate) tombstones: Tombstones,
    /// Whether events wait for their causes.
    pub(crate) causal: Option<Causal>,
    /// Into how many parts a projection is split, at least 1.
    pub(crate) shards: u32,
    /// Of the logic that makes a projection's rows: another one has them made anew.
    pub(crate) version: u32,
    /// Where in the log it begins.
    pub(crate) start: Start,
    /// Whether events of types that this build adds may stay unhandled when earlier builds have passed over them.
    pub(crate) leaves_skipped: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            concurrency: 1,
            batch_events_max: 500,
            time_limit: Duration::from_secs(20),
            unknown_types: UnknownTypes::default(),
            tombstones: Tombstones::default(),
            causal: None,
            shards: 1,
            version: 1,
            start: Start::Beginning,
            leaves_skipped: false,
        }
    }
}

impl Options {
    /// Checks the causal order against how long the inbox knows what was handled.
    pub(crate) fn plan_causal(&mut self, handler: &str, inbox: Duration) -> Result<(), Error> {
        let Some(causal) = &mut self.causal else { return Ok(()) };
        if !(CAUSAL_WAIT_SHORTEST..=inbox).contains(&causal.wait) {
            return Err(Error::Wiring(format!(
                "{handler} waits {:?} for causes; it can be from {CAUSAL_WAIT_SHORTEST:?} to {inbox:?}, which is how long its inbox knows what was \
                 handled (Retention::inbox)",
                causal.wait
            )));
        }
        causal.known = inbox;
        Ok(())
    }

    /// Nothing of a handler is planned for later than this.
    pub(crate) fn longest_plan(&self) -> Duration {
        self.retry.longest_delay().max(self.causal.map_or(Duration::ZERO, |causal| causal.wait))
    }
}

/// The shortest wait for causes.
const CAUSAL_WAIT_SHORTEST: Duration = Duration::from_millis(1);

/// The options that projections and consumers share, as builder methods.
macro_rules! option_methods {
    () => {
        /// When a failing event is tried again.
        pub fn retry(mut self, retry: $crate::Retry) -> Self {
            self.options.retry = retry;
            self
        }

        /// How many keys are handled in parallel, at least 1 (the default). One key stays in order (G7).
        pub fn concurrency(mut self, keys: usize) -> Self {
            self.options.concurrency = keys.max(1);
            self
        }

        /// How many events one transaction handles at most, at least 1.
        pub fn batch(mut self, events_max: usize) -> Self {
            self.options.batch_events_max = events_max.max(1);
            self
        }

        /// Goes on although earlier builds of this handler have passed over events of types that this build adds. Without it,
        /// [`Builder::open`]($crate::Builder::open) refuses to, for these events will not come again.
        pub fn leave_skipped(mut self) -> Self {
            self.options.leaves_skipped = true;
            self
        }

        /// How long one transaction, or one call to the outside world, may take. What exceeds it is a failure.
        pub fn time_limit(mut self, limit: ::std::time::Duration) -> Self {
            self.options.time_limit = limit;
            self
        }
    };
}
pub(crate) use option_methods;
