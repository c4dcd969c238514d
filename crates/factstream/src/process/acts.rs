//! What a reaction asks for. It is done after the reaction, in its transaction.

use super::alias::Alias;
use super::perform::{Appending, Cancelling, Commanding, Naming, Perform, Timing};
use crate::timer::Due;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::event::Event;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};
use std::time::Duration;

/// Commands, appends, timers and aliases that one reaction may ask for.
pub const ACTS_MAX: usize = 1_000;

/// What a process asks for in one reaction: commands, events, timers, aliases and its own end. All of it is done in the order in which it was asked
/// for, and commits together with the state.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # fn main() {
/// use factstream::Acts;
///
/// fn wind_up(order_id: &str, acts: &mut Acts) {
///     acts.command::<Order, _>(order_id, ship());
///     acts.cancel("payment");
///     acts.end();
/// }
/// # let _ = wind_up;
/// # }
/// ```
pub struct Acts {
    id: String,
    asked: Vec<(Act, Box<dyn Perform>)>,
    /// How many were asked for, also those that were too many to be kept.
    count: usize,
    ends: bool,
}

/// One thing that a process asked for, as its history and a test show it.
///
/// ```
/// use factstream::process::Act;
///
/// let act = Act::Command { aggregate: "stock".into(), id: "sku-1".into(), command: "Reserve { pieces: 2 }".into() };
/// assert_eq!(serde_json::to_value(&act).unwrap()["act"], "command");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// A command.
    Command {
        /// The aggregate's type.
        aggregate: String,
        /// The aggregate's id.
        id: String,
        /// The command's `Debug` text.
        command: String,
    },
    /// Events that were recorded without a decision.
    Append {
        /// The aggregate's type.
        aggregate: String,
        /// The aggregate's id.
        id: String,
        /// Each event: its type's name and its JSON.
        events: Vec<String>,
    },
    /// A timer, set or set anew.
    Timer {
        /// Its name.
        name: String,
        /// When it is due: `after 15m`, or `at` a time.
        due: String,
    },
    /// A timer, cancelled.
    Cancel {
        /// Its name.
        name: String,
    },
    /// Another id.
    Alias(Alias),
    /// The end of the process.
    End,
}

impl Acts {
    /// For an instance.
    pub(crate) fn of(id: &str) -> Self {
        Self { id: id.to_owned(), asked: Vec::new(), count: 0, ends: false }
    }

    /// The id of the instance that reacts.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Puts a command to an aggregate. Its events commit with the process's state; a refusal is the next input,
    /// [`Input::Refused`](crate::Input::Refused). The aggregate must be declared with
    /// [`Builder::aggregate`](crate::Builder::aggregate).
    ///
    /// The command's `Debug` text is kept in the history of the instance.
    pub fn command<A, C>(&mut self, id: impl Into<String>, command: C)
    where
        A: Aggregate,
        C: Command<A> + Debug + 'static,
    {
        let Some(id) = self.admit(id) else { return };
        let text = format!("{command:?}");
        let act = Act::Command { aggregate: A::TYPE.to_owned(), id: id.clone(), command: text };
        self.asked.push((act, Box::new(Commanding::<A, C>::new(id, command))));
    }

    /// Records events of an aggregate without a decision: facts.
    pub fn append<A: Aggregate>(
        &mut self,
        id: impl Into<String>,
        events: impl IntoIterator<Item = A::Event>,
    ) {
        let Some(id) = self.admit(id) else { return };
        let events: Vec<A::Event> = events.into_iter().collect();
        let text = |event: &A::Event| {
            let json =
                event.encode().unwrap_or_else(|error| format!("cannot be written as JSON: {error}").into());
            format!("{} {json}", event.event_type().name)
        };
        let texts = events.iter().map(text).collect();
        let act = Act::Append { aggregate: A::TYPE.to_owned(), id: id.clone(), events: texts };
        self.asked.push((act, Box::new(Appending::<A>::new(id, events))));
    }

    /// Sets a timer of this instance, in the place of the one of that name, if there is one. When it is due, it is an input of the
    /// instance: [`Input::Timer`](crate::Input::Timer). Say when: `.after(..)` or `.at(..)`.
    ///
    /// ```
    /// # use factstream::Acts;
    /// # use std::time::Duration;
    /// fn wait_for_the_payment(acts: &mut Acts) {
    ///     acts.timer("payment").after(Duration::from_secs(15 * 60));
    /// }
    /// # let _ = wait_for_the_payment;
    /// ```
    pub fn timer(&mut self, name: impl Into<String>) -> NewTimer<'_> {
        NewTimer { name: name.into(), acts: self }
    }

    /// Cancels a timer of this instance. A missing one is no error.
    pub fn cancel(&mut self, name: impl Into<String>) {
        let Some(name) = self.admit(name) else { return };
        let act = Act::Cancel { name: name.clone() };
        self.asked.push((act, Box::new(Cancelling(name))));
    }

    /// Gives this instance another id, which is known only now: that of its payment or its parcel, for example. From the next input
    /// on, events that correlate by it ([`Correlate::go_on_by`](crate::Correlate::go_on_by)) are inputs of this instance, in its order, and
    /// those that came before and found nobody are, too, before any later one.
    ///
    /// An alias belongs to one instance, until that has ended and is forgotten (`Retention::processes`). Where another one has it, this
    /// input fails, and the letter says whose it is. To give it again is no error.
    ///
    /// ```
    /// # use factstream::Acts;
    /// fn when_the_payment_is_begun(payment_id: &str, acts: &mut Acts) {
    ///     acts.alias("payment", payment_id);
    /// }
    /// # let _ = when_the_payment_is_begun;
    /// ```
    pub fn alias(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let Some(name) = self.admit(name) else { return };
        let alias = Alias { name, value: value.into() };
        self.asked.push((Act::Alias(alias.clone()), Box::new(Naming(alias))));
    }

    /// Ends the process with this reaction, and cancels its timers. Refusals of commands that were asked for until now still come as
    /// inputs; every later input changes nothing.
    pub fn end(&mut self) {
        self.ends = true;
    }

    /// The id, unless there is no room for one more.
    fn admit(&mut self, id: impl Into<String>) -> Option<String> {
        self.count += 1;
        (self.count <= ACTS_MAX).then(|| id.into())
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn ends(&self) -> bool {
        self.ends
    }

    /// What was asked for, to be kept, and to be done.
    pub(super) fn into_parts(self) -> (Vec<Act>, Vec<Box<dyn Perform>>) {
        let (mut acts, to_do): (Vec<_>, Vec<_>) = self.asked.into_iter().unzip();
        acts.extend(self.ends.then_some(Act::End));
        (acts, to_do)
    }

    /// What was asked for.
    pub(crate) fn list(&self) -> Vec<Act> {
        let end = self.ends.then_some(Act::End);
        self.asked.iter().map(|(act, _)| act.clone()).chain(end).collect()
    }
}

/// A timer that is to be set, until it is said when it is due: made by [`Acts::timer`].
#[must_use = "say when the timer is due: .after(..) or .at(..)"]
#[derive(Debug)]
pub struct NewTimer<'a> {
    name: String,
    acts: &'a mut Acts,
}

impl NewTimer<'_> {
    /// It is due so long after the reaction, by the store's clock.
    pub fn after(self, wait: Duration) {
        let text =
            SignedDuration::try_from(wait).map_or_else(|_| format!("{wait:?}"), |wait| format!("{wait:#}"));
        self.set(Due::After(wait), format!("after {text}"));
    }

    /// It is due at this time; at once, where that has passed.
    pub fn at(self, time: Timestamp) {
        self.set(Due::At(time), format!("at {time}"));
    }

    fn set(self, due: Due, text: String) {
        let Some(name) = self.acts.admit(self.name) else { return };
        let act = Act::Timer { name: name.clone(), due: text };
        self.acts.asked.push((act, Box::new(Timing { name, due })));
    }
}

impl Debug for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Act {
    /// The timer that it sets or cancels.
    pub(super) fn timer_name(&self) -> Option<String> {
        match self {
            Self::Timer { name, .. } | Self::Cancel { name } => Some(name.clone()),
            Self::Command { .. } | Self::Append { .. } | Self::Alias(_) | Self::End => None,
        }
    }

    /// As it is kept: without an end where it is long.
    pub(super) fn shortened(mut self) -> Self {
        match &mut self {
            Self::Command { command, .. } => shorten(command),
            Self::Append { events, .. } => events.iter_mut().for_each(shorten),
            Self::Timer { name, .. } | Self::Cancel { name } => shorten(name),
            Self::Alias(_) | Self::End => {}
        }
        self
    }
}

/// The most that the history keeps of one command or event.
const TEXT_BYTES_MAX: usize = 1_000;

fn shorten(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str(" ..");
    }
}
