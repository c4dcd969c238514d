//! What commands, transactions, handlers and the relay of one application stand on: its store and broker, what is remembered of
//! them in memory, and what it is called. It knows nothing of handlers.

mod test_clock;
mod clock;
mod emitters;
pub(crate) mod generation;
pub(crate) mod inside;
pub(crate) mod origin;
pub(crate) mod names;
mod progress;
mod scheduled_names;
mod timer_news;
pub(crate) mod states;
pub(crate) mod system;
pub(crate) mod turns;

pub(crate) use clock::StoreClock;
pub(crate) use emitters::Emitters;
pub(crate) use progress::Progress;
pub(crate) use scheduled_names::ScheduledNames;
pub use test_clock::TestClock;
pub(crate) use timer_news::TimerNews;

use crate::error::Error;
use factstream_core::broker::Broker;
use factstream_core::context::Context;
use factstream_core::envelope::StreamId;
use factstream_core::store::Store;
use jiff::Timestamp;
use origin::Origin;
use states::States;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use system::System;
use turns::{Turn, Turns};
use uuid::Uuid;

/// The ground that an application stands on.
pub(crate) struct Kernel {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) system: System,
    pub(crate) clock: Arc<StoreClock>,
    pub(crate) service: Arc<str>,
    pub(crate) states: States,
    pub(crate) turns: Arc<Turns>,
    pub(crate) progress: Progress,
    pub(crate) timer_news: TimerNews,
    /// What the commands are called that may be scheduled.
    pub(crate) scheduled: ScheduledNames,
    /// Whether the broker lets every member of a group read all partitions, so that a group needs one owner.
    pub(crate) groups_need_lease: bool,
    pub(crate) mirrors_dead_letters: bool,
    /// How soon every event is sealed, where the log is.
    pub(crate) seals_within: Option<Duration>,
    /// Until when records are known as earlier builds knew them.
    pub(crate) former_until: Option<Timestamp>,
    /// The topic of each public event type that is declared.
    pub(crate) topics_of_types: HashMap<&'static str, &'static str>,
}

impl Kernel {
    pub(crate) fn store_id(&self) -> Uuid {
        self.system.store_id
    }

    /// Where events come from that no context is given for: the event because of which this task runs, or a conversation of their own.
    pub(crate) fn origin(&self) -> Origin {
        let service = Arc::clone(&self.service);
        match inside::cause() {
            Some(cause) => cause.recorded_by(service),
            None => Origin::command(service),
        }
    }

    /// As [`Kernel::origin`], as far as no context says otherwise.
    pub(crate) fn origin_of(&self, context: Option<&Context>) -> Result<Origin, Error> {
        let Some(context) = context else { return Ok(self.origin()) };
        context.check()?;
        Ok(self.origin().with(context.clone()))
    }

    /// The topic of a public event type that this build declares.
    pub(crate) fn topic_of(&self, event_type: &str) -> Option<&'static str> {
        self.topics_of_types.get(event_type).copied()
    }

    /// The turns of streams that a transaction has lost on, to be had before it runs again. Without them, should they not be had
    /// in time, it may lose once more.
    pub(crate) async fn turns_of(&self, streams: &BTreeSet<StreamId>) -> Vec<Turn> {
        let turns = self.turns.of_all(streams).await;
        turns.inspect_err(|error| tracing::debug!(%error, "no turn on a stream")).unwrap_or_default()
    }
}
