//! One instance of a process and its inputs, without a store.

use crate::handler::Failure;
use crate::process::{Act, Acts, Alias, Input, Process, Refused, Target, correlated, take};
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::Envelope;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// An instance of a process that has not been started yet.
///
/// After each input its state goes through its JSON, as in a store. A command is not decided: say with
/// [`when_refused`](Playing::when_refused) that it was refused.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # use factstream::{Acts, Correlate, Input, Process};
/// # fn main() {
/// use factstream::testing::process;
///
/// /// Ships each order that is created.
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Fulfilment {
///     refused: bool,
/// }
///
/// impl Process for Fulfilment {
///     const NAME: &'static str = "fulfilment";
///     type Events = OrderEvent;
///
///     fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
///         Correlate::start(&event.aggregate_id)
///     }
///
///     fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
///         match input {
///             Input::Event(event) => match event.event {
///                 OrderEvent::Created { .. } => acts.command::<Order, _>(&event.aggregate_id, ship()),
///                 OrderEvent::Shipped { .. } => acts.end(),
///             },
///             Input::Refused(_) => self.refused = true,
///             _ => {}
///         }
///         Ok(())
///     }
/// }
///
/// let created = || Envelope::of("o-1", OrderEvent::Created { customer_id: "c-1".into() });
/// let shipped = Envelope::of("o-1", OrderEvent::Shipped { parcel: "p-1".into() });
///
/// process::<Fulfilment>("o-1")
///     .when(created())
///     .then(|acts| acts.command::<Order, _>("o-1", ship()))
///     .when(shipped)
///     .then(|acts| acts.end())
///     .when(created())
///     .then_nothing(); // it has ended
///
/// let refused = process::<Fulfilment>("o-1").given([created()]).when_refused::<Order, _>("o-1", ship(), Refused("SHIPPED"));
/// assert!(refused.then_nothing().state().refused);
/// # }
/// ```
pub fn process<P: Process>(id: impl Into<String>) -> Playing<P> {
    Playing { id: id.into(), state: P::default(), aliases: BTreeSet::new(), started: false, ended: false }
}

/// Whether an instance takes an event: now, once it has the alias that the event comes by, or not at all.
pub(super) enum Meets {
    Now,
    Later,
    Never,
}

/// An instance of a process that takes inputs.
#[derive(Debug)]
pub struct Playing<P> {
    id: String,
    state: P,
    aliases: BTreeSet<Alias>,
    started: bool,
    ended: bool,
}

impl<P: Process> Playing<P> {
    /// Has it take these events, whatever it asks for.
    ///
    /// # Panics
    /// When an event does not concern it, or it fails.
    #[track_caller]
    pub fn given(self, events: impl IntoIterator<Item = Envelope<P::Events>>) -> Self {
        events.into_iter().fold(self, |playing, event| {
            let Reacted { playing, acts } = playing.when(event);
            acts.unwrap_or_else(|failure| panic!("{} fails: {}", P::NAME, failure.chain().join(": ")));
            playing
        })
    }

    /// Gives it an event. One that comes by an alias concerns it once it has asked for that alias.
    ///
    /// # Panics
    /// When the event does not concern it.
    #[track_caller]
    pub fn when(mut self, event: Envelope<P::Events>) -> Reacted<P> {
        let concerns =
            correlated::<P>(&event).unwrap_or_else(|reason| panic!("it cannot be correlated: {reason}"));
        let Some(target) = concerns.iter().find(|target| target.is(&self.id, &self.aliases)) else {
            let whom: Vec<&str> = concerns.iter().map(|target| target.to.shown()).collect();
            panic!(
                "{} of {} concerns {whom:?}, not {:?} with the aliases {:?}",
                event.event_type,
                event.aggregate_id,
                self.id,
                self.aliases.iter().map(Alias::to_string).collect::<Vec<_>>()
            );
        };
        self.started |= target.starts();
        assert!(
            self.started,
            "{} of {} starts no instance, and there is none yet",
            event.event_type, event.aggregate_id
        );
        self.take(Input::Event(&event))
    }

    /// Tells it that a command which it asked for was refused.
    pub fn when_refused<A, C>(self, id: &str, command: C, reason: C::Error) -> Reacted<P>
    where
        A: Aggregate,
        C: Command<A> + Debug,
    {
        let refused = Refused::asked::<A, C>(id, &command).because(reason);
        self.take(Input::Refused(&refused))
    }

    /// Tells it that a timer of this name is due.
    pub fn when_timer(self, name: &str) -> Reacted<P> {
        self.take(Input::Timer(name))
    }

    /// What becomes of an event now.
    pub(super) fn meets(&self, event: &Envelope<P::Events>) -> Meets {
        let targets = correlated::<P>(event).unwrap_or_default();
        let is_for_it = targets.iter().any(|target| target.is(&self.id, &self.aliases));
        if !is_for_it && targets.iter().any(Target::waits) {
            return Meets::Later;
        }
        match is_for_it || !targets.iter().any(Target::may_miss) {
            true => Meets::Now, // or it is said what is wrong
            false => Meets::Never,
        }
    }

    /// Its state.
    pub fn state(&self) -> &P {
        &self.state
    }

    pub(super) fn into_state(self) -> P {
        self.state
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn take(mut self, input: Input<'_, P::Events>) -> Reacted<P> {
        if self.ended {
            let acts = Ok(Acts::of(&self.id));
            return Reacted { playing: self, acts };
        }
        let acts = take(&self.id, &mut self.state, input);
        if let Ok(acts) = &acts {
            self.ended = acts.ends();
            self.aliases.extend(acts.list().into_iter().filter_map(|act| match act {
                Act::Alias(alias) => Some(alias),
                _ => None,
            }));
            self.state = read_back(&self.state);
        }
        Reacted { playing: self, acts }
    }
}

/// The state as a store would give it back.
fn read_back<P: Process>(state: &P) -> P {
    let name = P::NAME;
    let value = |state: &P| {
        serde_json::to_value(state)
            .unwrap_or_else(|error| panic!("the state of {name} cannot be written as JSON: {error}"))
    };
    let written = value(state);
    let read: P = serde_json::from_value(written.clone())
        .unwrap_or_else(|error| panic!("the state of {name} cannot be read back from {written}: {error}"));
    assert_eq!(
        value(&read),
        written,
        "the state of {name} is another one when it is read back from its JSON"
    );
    read
}

/// What an instance made of an input.
#[derive(Debug)]
#[must_use = "say what must follow: .then(..), .then_nothing() or .then_fails()"]
pub struct Reacted<P> {
    playing: Playing<P>,
    acts: Result<Acts, Failure>,
}

impl<P: Process> Reacted<P> {
    pub(super) fn into_parts(self) -> (Playing<P>, Result<Vec<Act>, Failure>) {
        (self.playing, self.acts.map(|acts| acts.list()))
    }

    /// It must ask for this, in this order.
    ///
    /// # Panics
    /// When it asks for something else, or fails.
    #[track_caller]
    pub fn then(self, asks: impl FnOnce(&mut Acts)) -> Playing<P> {
        let mut wanted = Acts::of(&self.playing.id);
        asks(&mut wanted);
        let acts =
            self.acts.unwrap_or_else(|failure| panic!("{} fails: {}", P::NAME, failure.chain().join(": ")));
        assert_eq!(acts.list(), wanted.list(), "{} asks for something else", P::NAME);
        self.playing
    }

    /// It must ask for nothing.
    ///
    /// # Panics
    /// When it asks for something, or fails.
    #[track_caller]
    pub fn then_nothing(self) -> Playing<P> {
        self.then(|_| {})
    }

    /// It must fail; why.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn then_fails(self) -> String {
        match self.acts {
            Ok(acts) => panic!("{} does not fail, and asks for {acts:?}", P::NAME),
            Err(failure) => failure.chain().join(": "),
        }
    }
}
