//! What must be, of stories: plain maps, no store, and time in whole hours. Every rule of processes, aliases and timers is here once, in its
//! simplest form.

use super::app::{PIECES, payment, story, timer};
use super::steps::{Of, STORIES, Temper, What};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ev {
    pub(crate) number: usize,
    pub(crate) of: Of,
    pub(crate) tag: String,
    pub(crate) what: What,
    pub(crate) temper: Temper,
    pub(crate) skips: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    Story(String),
    /// Whoever has this payment.
    Payment(String),
}

/// Something on its way to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Event(Ev, To),
    /// With the number of its setting.
    Timer(String, usize),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) seen: Vec<String>,
    pub(crate) ended: bool,
    /// The numbers of the events that it has taken.
    taken: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Set {
    due: u64,
    number: usize,
    /// It was due, and waits behind an input that failed.
    waits: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Reference {
    hour: u64,
    /// How much has arrived or was set.
    count: usize,
    pub(crate) instances: BTreeMap<String, Instance>,
    /// Who has which payment.
    pub(crate) owners: BTreeMap<String, String>,
    /// What is held, by the instance or, as `payment=..`, by the alias that nobody has; with the order in which it arrived. The first has
    /// failed, the rest waits behind it.
    held: BTreeMap<String, VecDeque<(usize, Input)>>,
    timers: BTreeMap<(String, String), Set>,
    /// The pieces that each instance has taken.
    pub(crate) stocks: BTreeMap<String, Vec<String>>,
    mended: BTreeSet<String>,
}

impl Reference {
    /// An event is in the log.
    pub(crate) fn record(&mut self, ev: &Ev) {
        let own = match ev.of {
            Of::Story(number) => To::Story(story(number)),
            Of::Payment(number) => To::Payment(payment(number)),
        };
        let to = match ev.what {
            What::All => (0..STORIES).map(|number| To::Story(story(number))).collect(),
            What::Both(number) => vec![own, To::Payment(payment(number))],
            _ => vec![own],
        };
        for to in to {
            let key = self.key_of(&to);
            self.deliver(key, Input::Event(ev.clone(), to));
        }
    }

    /// The clock goes on: what is due comes in the order in which it is due.
    pub(crate) fn advance(&mut self, hours: u64) {
        self.hour += hours;
        let mut due: Vec<((String, String), Set)> = self
            .timers
            .iter()
            .filter(|(_, set)| set.due <= self.hour && !set.waits)
            .map(|(key, set)| (key.clone(), *set))
            .collect();
        due.sort_by_key(|(_, set)| (set.due, set.number));
        for (key, _) in due {
            self.fire(key);
        }
    }

    /// A person has a timer fire; whether it was there, and did not wait already.
    pub(crate) fn fire_now(&mut self, key: (String, String)) -> bool {
        let is_there = self.timers.get(&key).is_some_and(|set| !set.waits);
        if is_there {
            self.fire(key);
        }
        is_there
    }

    pub(crate) fn cancel(&mut self, key: &(String, String)) -> bool {
        self.timers.remove(key).is_some()
    }

    /// The names of an instance's timers.
    pub(crate) fn timers(&self) -> Vec<(String, String)> {
        self.timers.keys().cloned().collect()
    }

    fn fire(&mut self, key: (String, String)) {
        let Some(set) = self.timers.get_mut(&key) else { return };
        set.waits = true;
        let (id, name) = key;
        let timer = Input::Timer(name, set.number);
        self.deliver(id, timer);
    }

    fn key_of(&self, to: &To) -> String {
        match to {
            To::Story(id) => id.clone(),
            To::Payment(payment) => match self.owners.get(payment) {
                Some(owner) => owner.clone(),
                None => unowned(payment),
            },
        }
    }

    fn deliver(&mut self, key: String, input: Input) {
        self.count += 1;
        let held = self.held.entry(key.clone()).or_default();
        held.push_back((self.count, input));
        if held.len() == 1 {
            self.attempt(&key);
        }
    }

    /// Has what is held of a key taken, in order, until one fails.
    pub(crate) fn attempt(&mut self, key: &str) {
        while let Some(input) = self.head(key) {
            if !self.take(&input) {
                return;
            }
            if let Some(held) = self.held.get_mut(key) {
                held.pop_front();
            }
        }
        self.held.remove(key);
    }

    pub(crate) fn head(&self, key: &str) -> Option<Input> {
        self.held.get(key)?.front().map(|(_, input)| input.clone())
    }

    /// The keys that stand still.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.held.keys().cloned().collect()
    }

    /// What is held, by key.
    pub(crate) fn held(&self) -> BTreeMap<String, Vec<String>> {
        let tag = |(_, input): &(usize, Input)| match input {
            Input::Event(ev, _) => ev.tag.clone(),
            Input::Timer(name, _) => format!("timer {name}"),
        };
        self.held.iter().map(|(key, held)| (key.clone(), held.iter().map(tag).collect())).collect()
    }

    pub(crate) fn mend(&mut self, tag: &str) {
        self.mended.insert(tag.to_owned());
    }

    /// The input that failed is given up, or another is put in its place.
    pub(crate) fn replace_head(&mut self, key: &str, by: Option<Input>) {
        if let Some(held) = self.held.get_mut(key)
            && let Some((number, _)) = held.pop_front()
            && let Some(input) = by
        {
            held.push_front((number, input));
        }
        self.attempt(key);
    }

    /// Whether an input is done with: taken, or of no effect. Otherwise it fails.
    fn take(&mut self, input: &Input) -> bool {
        match input {
            Input::Timer(name, number) => {
                let Some((id, _)) = self.timers.iter().find(|(_, set)| set.number == *number) else {
                    return true;
                };
                let id = id.0.clone();
                self.timers.remove(&(id.clone(), name.clone()));
                self.see(&id, format!("timer {name}"));
                self.take_piece(&id, format!("timer {name}"));
                true
            }
            Input::Event(ev, to) => self.take_event(ev, to),
        }
    }

    fn take_event(&mut self, ev: &Ev, to: &To) -> bool {
        let id = match to {
            To::Story(id) => Some(id.clone()),
            To::Payment(payment) => self.owners.get(payment).cloned(),
        };
        let is_missing = |id: &String| ev.what != What::Start && !self.instances.contains_key(id);
        let Some(id) = id.filter(|id| !is_missing(id)) else { return ev.skips || ev.what == What::All };
        let is_done = |instance: &Instance| instance.ended || instance.taken.contains(&ev.number);
        if self.instances.get(&id).is_some_and(is_done) {
            return true;
        }
        if ev.temper == Temper::Dies && !self.mended.contains(&ev.tag) {
            return false;
        }
        if let What::Alias(number) = ev.what
            && self.owners.get(&payment(number)).is_some_and(|owner| *owner != id)
        {
            return false;
        }
        self.instances.entry(id.clone()).or_default().taken.insert(ev.number);
        self.see(&id, ev.tag.clone());
        match ev.what {
            What::Take => self.take_piece(&id, ev.tag.clone()),
            What::Timer { name, hours } => {
                self.count += 1;
                let set = Set { due: self.hour + u64::from(hours), number: self.count, waits: false };
                self.timers.insert((id, timer(name)), set);
            }
            What::Cancel(name) => drop(self.timers.remove(&(id, timer(name)))),
            What::Alias(number) => self.give(payment(number), id),
            What::End => {
                self.instances.entry(id.clone()).or_default().ended = true;
                self.timers.retain(|(of, _), _| *of != id);
            }
            What::Start | What::Plain | What::All | What::Both(_) => {}
        }
        true
    }

    /// What waits for the alias comes behind what waits for the instance, all of it as it has arrived. The first is the input at hand.
    fn give(&mut self, payment: String, id: String) {
        let moved = self.held.remove(&unowned(&payment)).unwrap_or_default();
        let held = self.held.entry(id.clone()).or_default();
        held.extend(moved);
        if let [_, rest @ ..] = held.make_contiguous() {
            rest.sort_by_key(|(number, _)| *number);
        }
        self.owners.insert(payment, id);
    }

    fn take_piece(&mut self, id: &str, tag: String) {
        let stock = self.stocks.entry(id.to_owned()).or_default();
        if stock.len() < PIECES { stock.push(tag) } else { self.see(id, "refused".into()) }
    }

    fn see(&mut self, id: &str, what: String) {
        self.instances.entry(id.to_owned()).or_default().seen.push(what);
    }
}

/// Where waits what comes by the alias that nobody has.
fn unowned(payment: &str) -> String {
    format!("{}={payment}", super::app::PAYMENT)
}
