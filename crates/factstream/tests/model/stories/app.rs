//! The application under test: a process that takes the events of its own stream and, by aliases, those of others, commands a stock and
//! sets timers, and fails as the events tell it to.

use super::steps::{STORIES, Setup, Temper, What};
use crate::shifted::{Hours, Shifted};
use factstream::{
    Acts, Aggregate, App, Builder, Command, Correlate, Envelope, Event, Failure, Input, Missing, Process,
    Retry, Start,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// The name of the aliases.
pub(crate) const PAYMENT: &str = "payment";
/// Pieces of a stock.
pub(crate) const PIECES: usize = 2;

#[derive(Event, Serialize, Deserialize, Debug, Clone)]
pub(crate) enum TaleEvent {
    #[event(private)]
    Told { tag: String, what: What, temper: Temper, skips: bool },
}

#[derive(Default, Clone)]
pub(crate) struct Tale;

impl Aggregate for Tale {
    const TYPE: &'static str = "tale";
    type Event = TaleEvent;
    fn apply(&mut self, _: &TaleEvent) {}
}

#[derive(Debug, thiserror::Error)]
#[error("sold out")]
pub(crate) struct No;

#[derive(Event, Serialize, Deserialize, Debug, Clone)]
pub(crate) enum StockEvent {
    #[event(private)]
    PieceTaken { tag: String },
}

/// Each instance has a stock of its own.
#[derive(Default, Clone)]
pub(crate) struct Stock {
    taken: usize,
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Event = StockEvent;
    fn apply(&mut self, _: &StockEvent) {
        self.taken += 1;
    }
}

#[derive(Debug)]
struct Take {
    tag: String,
}

impl Command<Stock> for Take {
    type Error = No;
    fn decide(&self, stock: &Stock) -> Result<Vec<StockEvent>, No> {
        if stock.taken < PIECES {
            Ok(vec![StockEvent::PieceTaken { tag: self.tag.clone() }])
        } else {
            Err(No)
        }
    }
}

/// What lies outside: how often something failed already, and what a person has mended. A process has no fields for it, so it is one for
/// all cases; a tag is of one case only.
#[derive(Default)]
struct World {
    failed: HashMap<String, u32>,
    mended: HashSet<String>,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(Mutex::default);

pub(crate) fn mend(tag: &str) {
    WORLD.lock().unwrap().mended.insert(tag.to_owned());
}

fn bear(tag: &str, temper: Temper) -> Result<(), Failure> {
    let mut world = WORLD.lock().unwrap();
    match temper {
        Temper::Fails(times) => {
            let failed = world.failed.entry(tag.to_owned()).or_default();
            *failed += 1;
            if *failed <= times { Err("not yet".into()) } else { Ok(()) }
        }
        Temper::Dies if !world.mended.contains(tag) => Err(Failure::permanent("it can never work")),
        _ => Ok(()),
    }
}

#[derive(Default, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) struct Story {
    pub(crate) seen: Vec<String>,
}

impl Process for Story {
    const NAME: &'static str = "story";
    type Events = TaleEvent;

    fn correlate(event: &Envelope<TaleEvent>) -> Correlate {
        let TaleEvent::Told { what, skips, .. } = &event.event;
        let (id, missing) = (&event.aggregate_id, if *skips { Missing::Skip } else { Missing::DeadLetter });
        match what {
            What::All => (0..STORIES).map(|n| Correlate::go_on(story(n)).or(Missing::Skip)).collect(),
            What::Both(payment) => {
                Correlate::go_on(id).and(Correlate::go_on_by(PAYMENT, self::payment(*payment))).or(missing)
            }
            _ if id.starts_with('p') => Correlate::go_on_by(PAYMENT, id).or(missing),
            What::Start => Correlate::start(id),
            _ => Correlate::go_on(id).or(missing),
        }
    }

    fn react(&mut self, input: Input<'_, TaleEvent>, acts: &mut Acts) -> Result<(), Failure> {
        let stock = acts.id().to_owned();
        match input {
            Input::Event(event) => {
                let TaleEvent::Told { tag, what, temper, .. } = &event.event;
                bear(tag, *temper)?;
                self.seen.push(tag.clone());
                match *what {
                    What::Take => acts.command::<Stock, _>(stock, Take { tag: tag.clone() }),
                    What::Timer { name, hours } => acts.timer(timer(name)).after(hour(u64::from(hours))),
                    What::Cancel(name) => acts.cancel(timer(name)),
                    What::Alias(payment) => acts.alias(PAYMENT, self::payment(payment)),
                    What::End => acts.end(),
                    What::Start | What::Plain | What::All | What::Both(_) => {}
                }
            }
            Input::Timer(name) => {
                self.seen.push(format!("timer {name}"));
                acts.command::<Stock, _>(stock, Take { tag: format!("timer {name}") });
            }
            Input::Refused(_) => self.seen.push("refused".into()),
            _ => {}
        }
        Ok(())
    }
}

pub(crate) fn story(number: usize) -> String {
    format!("c-{number}")
}

pub(crate) fn payment(number: usize) -> String {
    format!("p-{number}")
}

pub(crate) fn timer(name: u8) -> String {
    format!("t{name}")
}

pub(crate) fn hour(hours: u64) -> Duration {
    Duration::from_secs(3_600 * hours)
}

/// More attempts than any event needs that is to work in the end.
const RETRY: Retry = Retry {
    max_attempts: 12,
    initial: Duration::from_millis(1),
    factor: 2.0,
    max_delay: Duration::from_millis(10),
    jitter: 0.2,
};

/// The application, as every process of a case runs it.
pub(crate) async fn builder(url: String, setup: Setup, clock: Hours) -> Builder {
    let store = App::builder(url).open().await.unwrap().store().clone();
    App::on(Shifted::by(store, clock))
        .service("stories")
        .aggregate::<Tale>()
        .aggregate::<Stock>()
        .process::<Story>()
        .retry(RETRY)
        .batch(setup.batch)
        .concurrency(setup.lanes)
        .from(Start::Beginning)
}
