//! One instance of a process whose inputs come in other orders, late and twice: a kit for what a process must stand.
//!
//! Invariant: the events of one stream stay in their order, for that is promised (G7, G15); nothing is promised between streams.

use super::process::{Meets, Playing, process};
use crate::process::{Act, Process};
use factstream_core::envelope::Envelope;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// Orders that are tried; where there are more, so many of them.
const ORDERS_MAX: usize = 1_000;

/// An instance of a process, to be given the same inputs in every order that can happen.
///
/// Say what happens: the event that starts it with [`first`](AnyOrder::first), and each stream of events with
/// [`stream`](AnyOrder::stream), as its aggregate records them. [`holds`](AnyOrder::holds) then runs the process through the orders in which
/// streams can meet, at most 1,000 of them, and through each of these with each input twice: at once, and again at the end. What
/// it asks for, as a set, its state and whether it has ended must be the same each time. As in a store, a timer is an input only where it
/// is set and not cancelled, and nothing is an input after the end.
///
/// An event that comes by an alias before the instance has it waits for it, as in a store, or is passed over if `correlate` says
/// [`Missing::Skip`](crate::Missing::Skip).
///
/// The log has an event once. One that comes twice is another event that says the same: a message that its producer sent twice,
/// recorded by a handler that takes it for two.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # use factstream::{Acts, Correlate, Input, Process};
/// # fn main() {
/// use factstream::testing::any_order;
///
/// /// Ships an order when it has two marks.
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Marked {
///     marks: std::collections::BTreeSet<String>,
/// }
/// # #[derive(Clone, Event, serde::Serialize, serde::Deserialize)]
/// # enum Marking { Begun {}, Mark { by: String } }
///
/// impl Process for Marked {
///     const NAME: &'static str = "marked";
///     type Events = Marking;
///
///     fn correlate(event: &Envelope<Marking>) -> Correlate {
///         Correlate::start(&event.aggregate_id)
///     }
///
///     fn react(&mut self, input: Input<'_, Marking>, acts: &mut Acts) -> Result<(), Failure> {
///         if let Input::Event(event) = input
///             && let Marking::Mark { by } = &event.event
///             && self.marks.insert(by.clone())
///             && self.marks.len() == 2
///         {
///             acts.command::<Order, _>("o-1", ship());
///             acts.end();
///         }
///         Ok(())
///     }
/// }
///
/// let mark = |by: &str| Envelope::of("o-1", Marking::Mark { by: by.into() });
/// let outcome = any_order::<Marked>("o-1")
///     .first(Envelope::of("o-1", Marking::Begun {}))
///     .stream([mark("a")])
///     .stream([mark("b")])
///     .holds();
/// assert!(outcome.ended && outcome.orders == 2);
/// # }
/// ```
pub fn any_order<P: Process>(id: impl Into<String>) -> AnyOrder<P>
where
    P::Events: Clone,
{
    AnyOrder { id: id.into(), first: Vec::new(), streams: Vec::new() }
}

/// Something that happens to an instance: an event, or that a timer is due.
#[derive(Debug, Clone)]
pub enum Happens<E> {
    /// An event of the log.
    Event(Box<Envelope<E>>),
    /// A timer of this name is due, if it is set.
    Due(String),
}

impl<E> From<Envelope<E>> for Happens<E> {
    fn from(event: Envelope<E>) -> Self {
        Self::Event(Box::new(event))
    }
}

impl<E> Happens<E> {
    /// A timer of this name is due.
    pub fn due(name: impl Into<String>) -> Self {
        Self::Due(name.into())
    }

    fn name(&self) -> String {
        match self {
            Self::Event(event) => format!("{} of {}", event.event_type, event.aggregate_id),
            Self::Due(name) => format!("timer {name}"),
        }
    }
}

/// What is to happen to an instance, in any order: made by [`any_order`].
#[must_use = "nothing is tried until .holds()"]
pub struct AnyOrder<P: Process> {
    id: String,
    first: Vec<Happens<P::Events>>,
    streams: Vec<Vec<Happens<P::Events>>>,
}

impl<P: Process> fmt::Debug for AnyOrder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyOrder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a process came to, in every order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome<P> {
    /// What it asked for, each once.
    pub acts: Vec<Act>,
    /// Its state at the end.
    pub state: P,
    /// Whether it has ended.
    pub ended: bool,
    /// In how many orders the streams were tried, those with doubles not counted.
    pub orders: usize,
}

/// What is compared.
struct Run<P> {
    playing: Playing<P>,
    acts: BTreeMap<String, Act>,
    timers: BTreeSet<String>,
}

impl<P: Process> AnyOrder<P>
where
    P::Events: Clone,
{
    /// What happens before everything else: what starts the instance.
    pub fn first(mut self, happens: impl Into<Happens<P::Events>>) -> Self {
        self.first.push(happens.into());
        self
    }

    /// What happens in this order, however it meets the other streams.
    pub fn stream<H: Into<Happens<P::Events>>>(mut self, happens: impl IntoIterator<Item = H>) -> Self {
        self.streams.push(happens.into_iter().map(Into::into).collect());
        self
    }

    /// Tries the orders.
    ///
    /// # Panics
    /// When an order leads to another outcome than the streams one after the other do, or the process fails: it says in which order.
    #[track_caller]
    pub fn holds(self) -> Outcome<P> {
        let lengths: Vec<usize> = self.streams.iter().map(Vec::len).collect();
        let orders = orders(&lengths);
        let usual = self.run(&self.in_order(&orders[0]));
        for order in &orders {
            let inputs = self.in_order(order);
            self.compare(&usual, &inputs);
            for (at, input) in inputs.iter().enumerate() {
                for again in [at + 1, inputs.len()] {
                    let mut doubled = inputs.clone();
                    doubled.insert(again, input);
                    self.compare(&usual, &doubled);
                }
            }
        }
        let ended = usual.playing.has_ended();
        Outcome {
            acts: usual.acts.into_values().collect(),
            state: usual.playing.into_state(),
            ended,
            orders: orders.len(),
        }
    }

    /// The inputs, with the streams in this order: the number of a stream for each of its inputs.
    fn in_order(&self, order: &[usize]) -> Vec<&Happens<P::Events>> {
        let mut streams: Vec<_> = self.streams.iter().map(|stream| stream.iter()).collect();
        self.first.iter().chain(order.iter().filter_map(|stream| streams[*stream].next())).collect()
    }

    #[track_caller]
    fn run(&self, inputs: &[&Happens<P::Events>]) -> Run<P> {
        let mut run = Run { playing: process::<P>(&self.id), acts: BTreeMap::new(), timers: BTreeSet::new() };
        let (mut inputs_left, mut waiting) = (inputs.iter().copied(), Vec::new());
        let mut joining = VecDeque::new();
        while let Some(input) = joining.pop_front().or_else(|| inputs_left.next()) {
            if let Happens::Event(event) = input {
                match run.playing.meets(event) {
                    Meets::Now => {}
                    Meets::Later => {
                        waiting.push(input);
                        continue;
                    }
                    Meets::Never => continue,
                }
            }
            let reacted = match input {
                Happens::Event(event) => run.playing.when((**event).clone()),
                Happens::Due(name) if run.timers.remove(name) => run.playing.when_timer(name),
                Happens::Due(_) => continue,
            };
            let (playing, acts) = reacted.into_parts();
            let asked = acts.unwrap_or_else(|failure| {
                panic!("{} fails in this order: {}\n{}", P::NAME, names(inputs), failure.chain().join(": "))
            });
            run.playing = playing;
            for act in asked {
                match &act {
                    Act::Alias(_) => joining.extend(waiting.drain(..)),
                    Act::Timer { name, .. } => drop(run.timers.insert(name.clone())),
                    Act::Cancel { name } => drop(run.timers.remove(name)),
                    _ => {}
                }
                run.acts.insert(format!("{act:?}"), act);
            }
        }
        run
    }

    #[track_caller]
    fn compare(&self, usual: &Run<P>, inputs: &[&Happens<P::Events>]) {
        let found = self.run(inputs);
        let acts = |run: &Run<P>| run.acts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            acts(&found),
            acts(usual),
            "{} asks for something else in this order: {}",
            P::NAME,
            names(inputs)
        );
        let end = |run: &Run<P>| (run.playing.has_ended(), serde_json::to_value(run.playing.state()).ok());
        assert_eq!(end(&found), end(usual), "{} ends otherwise in this order: {}", P::NAME, names(inputs));
    }
}

fn names<E>(inputs: &[&Happens<E>]) -> String {
    inputs.iter().map(|input| input.name()).collect::<Vec<_>>().join(", ")
}

/// Orders in which streams of these lengths can meet, the streams one after the other first. All, where there are not too many; else
/// those first, which differ at the end, and then random ones, the same each time.
fn orders(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut orders = Vec::new();
    extend(&mut lengths.to_vec(), &mut Vec::new(), &mut orders);
    if orders.len() < ORDERS_MAX {
        return orders;
    }
    orders.truncate(ORDERS_MAX / 2);
    let mut dice = 0_u64;
    while orders.len() < ORDERS_MAX {
        let mut left: Vec<usize> = lengths
            .iter()
            .enumerate()
            .flat_map(|(stream, length)| std::iter::repeat_n(stream, *length))
            .collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            // Knuth's MMIX generator; the upper half is the better one.
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(dice >> 33).unwrap_or(0) % left.len();
            order.push(left.remove(at));
        }
        orders.push(order);
    }
    orders
}

/// Adds the orders that begin with this one.
fn extend(left: &mut [usize], begun: &mut Vec<usize>, orders: &mut Vec<Vec<usize>>) {
    if orders.len() >= ORDERS_MAX {
        return;
    }
    if left.iter().all(|left| *left == 0) {
        orders.push(begun.clone());
        return;
    }
    for stream in 0..left.len() {
        if left[stream] > 0 {
            left[stream] -= 1;
            begun.push(stream);
            extend(left, begun, orders);
            begun.pop();
            left[stream] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_meet_in_every_order_and_keep_their_own() {
        assert_eq!(orders(&[2, 1]), [[0, 0, 1], [0, 1, 0], [1, 0, 0]]);
        assert_eq!(orders(&[]), [[0; 0]]);
        let six: BTreeSet<Vec<usize>> = orders(&[1; 5]).into_iter().collect();
        assert_eq!(six.len(), 120);
    }

    #[test]
    fn of_too_many_orders_so_many_are_tried_and_the_same_each_time() {
        let many = orders(&[5, 5, 5]);
        assert_eq!((many.len(), &many), (ORDERS_MAX, &orders(&[5, 5, 5])));
        assert!(many.iter().all(|order| order.len() == 15));
    }
}
