//! Plays the steps of stories, and has the reference judge what comes of them.

use super::app::{PAYMENT, Stock, Story, Tale, TaleEvent, builder, mend, payment, story, timer};
use super::reference::{Ev, Input, Reference};
use super::steps::{Of, STORIES, Setup, Step, Temper, Told, What};
use crate::cases::Case;
use crate::compare::{same, text};
use crate::fate::Fate;
use crate::letters::letter;
use crate::processes::Processes;
use crate::shifted::Hours;
use factstream::dead_letters::Bytes;
use factstream::{App, Error, Process, params};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than a case ever has of anything.
const ALL: usize = 10_000;
/// More events than one step has.
const TOLD_MAX: usize = 100;
/// Longer than any timer.
const ALL_HOURS: u64 = 10;

pub(crate) struct Play {
    processes: Processes,
    reference: Reference,
    clock: Hours,
    setup: Setup,
    /// Its number: tags are of one case only.
    case: usize,
}

impl Play {
    pub(crate) fn new(url: String, setup: Setup) -> Self {
        static CASES: AtomicUsize = AtomicUsize::new(0);
        let clock = Hours::default();
        let by = clock.clone();
        let make = move || -> crate::processes::Making {
            let (url, clock) = (url.clone(), by.clone());
            Box::pin(builder(url, setup, clock))
        };
        let (processes, case) = (Processes::new(Box::new(make), None), CASES.fetch_add(1, Ordering::Relaxed));
        Self { processes, reference: Reference::default(), clock, setup, case }
    }

    pub(crate) async fn case(&mut self, case: &Case<Setup, Step>) -> Result<(), String> {
        for (number, step) in case.steps.iter().enumerate() {
            let done = self.step(number, step).await;
            done.map_err(|text| format!("at step {number}, {step:?}: {text}"))?;
        }
        self.finish().await.map_err(|text| format!("at the end: {text}"))
    }

    async fn step(&mut self, number: usize, step: &Step) -> Result<(), String> {
        match *step {
            Step::Tell { by, ref all } => self.tell(by, number, all).await?,
            Step::Fate(fate) => self.processes.meet(fate).await?,
            Step::Clock { hours, killed } => self.move_clock(hours, killed).await?,
            Step::FireNow { story: of, name } => {
                self.settle().await?;
                let (id, name) = (story(of), timer(name));
                if self.reference.fire_now((id.clone(), name.clone())) {
                    let app = self.processes.app(0).await;
                    let fired = app.timers().of(Story::NAME, id).fire_now(&name).await.map_err(text)?;
                    same("whether the timer was there", &true, &fired)?;
                }
            }
            Step::CancelTimer { story: of, name } => {
                self.settle().await?;
                let (id, name, app) = (story(of), timer(name), self.processes.app(1).await);
                let cancelled = app.timers().of(Story::NAME, id.clone()).cancel(&name).await.map_err(text)?;
                same("whether the timer was there", &self.reference.cancel(&(id, name)), &cancelled)?;
            }
            Step::Rebuild { story: of } => {
                self.settle().await?;
                let (id, app) = (story(of), self.processes.app(0).await);
                let rebuilt = app.process::<Story>().rebuild(&id).await.ok().map(|story| story.seen);
                let must = self.reference.instances.get(&id).map(|instance| instance.seen.clone());
                same(&format!("the state of {id}, made again"), &must, &rebuilt)?;
            }
            Step::Settle => self.settle().await?,
            Step::Redrive { nth, mend } => {
                if let Some(key) = self.nth_head(nth).await? {
                    self.redrive(&key, mend).await?;
                }
            }
            Step::RedriveAll { mend } => self.redrive_each(mend).await?,
            Step::Edit { nth } => self.edit(nth).await?,
            Step::Discard { nth } => {
                if let Some(key) = self.nth_head(nth).await? {
                    self.discard(&key).await?;
                }
            }
        }
        Ok(())
    }

    /// The event of a step. Where instances take their inputs in no one order, a payment is of one story only, and nothing that comes by it is
    /// passed over: who is first would be a matter of time.
    fn event(&self, step: usize, place: usize, told: Told) -> Ev {
        let Told { of, what, temper, skips } = told;
        let (number, tag) = (step * TOLD_MAX + place, format!("{}.{step}.{place}", self.case));
        let ev = Ev { number, of, tag, what, temper, skips };
        match (self.setup.is_strict, temper, of, what) {
            (true, Temper::Fails(_), ..) => Ev { temper: Temper::Calm, ..ev },
            (false, _, Of::Story(number), What::Alias(_)) => Ev { what: What::Alias(number), ..ev },
            (false, _, Of::Payment(_), What::Alias(_)) => Ev { what: What::Plain, skips: false, ..ev },
            (false, _, Of::Payment(_), _) | (false, _, _, What::Both(_)) => Ev { skips: false, ..ev },
            _ => ev,
        }
    }

    async fn tell(&mut self, by: usize, step: usize, all: &[Told]) -> Result<(), String> {
        let app = self.processes.app(by).await;
        let all = all.iter().enumerate().map(|(place, told)| self.event(step, place, *told));
        let all: Vec<Ev> = all.collect();
        let mut tx = app.begin().await.map_err(text)?;
        for ev in &all {
            let (tag, what, temper, skips) = (ev.tag.clone(), ev.what, ev.temper, ev.skips);
            let id = match ev.of {
                Of::Story(number) => story(number),
                Of::Payment(number) => payment(number),
            };
            tx.append::<Tale>(&id, &[TaleEvent::Told { tag, what, temper, skips }]).await.map_err(text)?;
        }
        tx.commit().await.map_err(text)?;
        for ev in &all {
            self.reference.record(ev);
        }
        Ok(())
    }

    async fn move_clock(&mut self, hours: u64, killed: bool) -> Result<(), String> {
        self.settle().await?;
        for by in 0..2 {
            match killed {
                true => self.processes.meet(Fate::Crash { by, forgets: false }).await?,
                false => self.processes.meet(Fate::Stop { by }).await?,
            }
        }
        self.clock.fetch_add(hours.cast_signed(), Ordering::SeqCst);
        self.reference.advance(hours);
        self.settle().await
    }

    async fn redrive(&mut self, key: &str, mends: bool) -> Result<(), String> {
        if mends && let Some(Input::Event(ev, _)) = self.reference.head(key) {
            mend(&ev.tag);
            self.reference.mend(&ev.tag);
        }
        let app = self.processes.app(0).await;
        app.dead_letters().redrive(letter(&app, Story::NAME, key).await?).await.map_err(text)?;
        self.reference.attempt(key);
        Ok(())
    }

    /// One after the other: which of two instances is first given an alias is known then.
    async fn redrive_each(&mut self, mends: bool) -> Result<(), String> {
        self.settle().await?;
        for key in self.reference.heads() {
            if self.reference.head(&key).is_some() {
                self.redrive(&key, mends).await?;
                self.settle().await?;
            }
        }
        Ok(())
    }

    async fn discard(&mut self, key: &str) -> Result<(), String> {
        let app = self.processes.app(0).await;
        app.dead_letters()
            .discard(letter(&app, Story::NAME, key).await?, "nobody wants it")
            .await
            .map_err(text)?;
        self.reference.replace_head(key, None);
        Ok(())
    }

    /// The event is made a plain one, that concerns whom it did.
    async fn edit(&mut self, nth: usize) -> Result<(), String> {
        let Some(key) = self.nth_head(nth).await? else { return Ok(()) };
        let Some(Input::Event(ev, to)) = self.reference.head(&key) else { return Ok(()) };
        if matches!(ev.what, What::Start | What::All | What::Both(_)) {
            return Ok(());
        }
        let app = self.processes.app(0).await;
        let id = letter(&app, Story::NAME, &key).await?;
        let Some(Bytes::Text(value)) = app.dead_letters().show(id).await.map_err(text)?.value else {
            return Err(format!("letter {id} has no value"));
        };
        let mut value: Value = serde_json::from_str(&value).map_err(|error| error.to_string())?;
        let tag = format!("{}, edited", ev.tag);
        (value["tag"], value["what"], value["temper"]) = (tag.clone().into(), "Plain".into(), "Calm".into());
        app.dead_letters().edit(id, &value.to_string()).await.map_err(text)?;
        let edited = Ev { tag, what: What::Plain, temper: Temper::Calm, ..ev };
        self.reference.replace_head(&key, Some(Input::Event(edited, to)));
        Ok(())
    }

    async fn nth_head(&mut self, nth: usize) -> Result<Option<String>, String> {
        self.settle().await?;
        let mut heads = self.reference.heads();
        if heads.is_empty() {
            return Ok(None);
        }
        let at = nth % heads.len();
        Ok(Some(heads.swap_remove(at)))
    }

    /// Waits until nothing is left to do, and compares everything.
    async fn settle(&mut self) -> Result<(), String> {
        self.processes.settle(async |app| !has_due_timers(app).await).await?;
        for app in self.processes.all().await {
            self.compare(&app).await?;
        }
        Ok(())
    }

    async fn compare(&self, app: &App) -> Result<(), String> {
        let held = held(app).await.map_err(text)?;
        same("the dead letters, each with what is parked behind it", &self.reference.held(), &held)?;
        for number in 0..STORIES {
            let (id, stories) = (story(number), app.process::<Story>());
            let instance = stories.get(&id).await.map_err(text)?;
            let must = self.reference.instances.get(&id);
            let is = instance.as_ref().map(|instance| (&instance.state.seen, instance.has_ended()));
            same(&format!("what {id} has seen"), &must.map(|must| (&must.seen, must.ended)), &is)?;
            let Some(instance) = instance else { continue };
            same(&format!("whether {id} is blocked"), &held.contains_key(&id), &instance.blocked)?;
            let owned = self.reference.owners.iter().filter(|(_, owner)| **owner == id);
            let owned = owned.map(|(payment, _)| format!("{PAYMENT}={payment}")).collect();
            let aliases: Vec<String> = instance.aliases.iter().map(ToString::to_string).collect();
            same(&format!("the aliases of {id}"), &owned, &aliases)?;
            let again = stories.state_at(&id, instance.version).await.map_err(text)?;
            same(&format!("{id}, made of its history"), &Some(instance.state), &again)?;
            let taken = app.events::<Stock>(&id, 0, ALL).await.map_err(text)?;
            let taken: Vec<String> = taken.iter().map(|event| tag_of(event.data.as_bytes())).collect();
            let must = self.reference.stocks.get(&id).cloned().unwrap_or_default();
            same(&format!("the pieces that {id} has taken"), &must, &taken)?;
        }
        let sql = "SELECT timer_key, name FROM fs_timers WHERE handler = $1 ORDER BY timer_key, name";
        let rows = app.store().query(sql, params![Story::NAME]).await.map_err(|error| error.to_string())?;
        let set = rows.iter().map(|row| (row.get("timer_key").unwrap(), row.get("name").unwrap())).collect();
        same("the timers that are set", &self.reference.timers(), &set)
    }

    /// Everything is mended, redriven or given up, and the time of every timer comes: nothing is left behind.
    async fn finish(&mut self) -> Result<(), String> {
        self.redrive_each(true).await?;
        while let Some(key) = self.nth_head(0).await? {
            self.discard(&key).await?;
            self.redrive_each(true).await?;
        }
        self.move_clock(ALL_HOURS, true).await?;
        same("the timers that are left", &vec![], &self.reference.timers())?;
        crate::compare::nothing_left(&self.processes.app(0).await).await?;
        for by in 0..2 {
            self.processes.stop(by).await?;
        }
        Ok(())
    }
}

/// By the store's own clock: a process that has just begun may not have asked it yet.
async fn has_due_timers(app: &App) -> bool {
    let now = app.store().clock().await.unwrap();
    let sql = "SELECT 1 FROM fs_timers WHERE wakes_at <= $1 LIMIT 1";
    !app.store().query(sql, params![now]).await.unwrap().is_empty()
}

/// What is held, by key.
async fn held(app: &App) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut held = BTreeMap::<String, Vec<String>>::new();
    for letter in app.dead_letters().list(None, true, 0).await? {
        let mut ids = vec![letter.id];
        ids.extend(app.dead_letters().show(letter.id).await?.parked.iter().map(|parked| parked.id));
        for id in ids {
            let shown = app.dead_letters().show(id).await?;
            let tag = match (shown.summary.place.as_str(), &shown.value) {
                ("timer", _) => format!("timer {}", shown.summary.event_type.unwrap_or_default()),
                (_, Some(Bytes::Text(value))) => tag_of(value.as_bytes()),
                (_, other) => format!("{other:?}"),
            };
            held.entry(letter.key.clone()).or_default().push(tag);
        }
    }
    Ok(held)
}

fn tag_of(value: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(value).unwrap_or_default();
    json["tag"].as_str().map_or_else(|| String::from_utf8_lossy(value).into_owned(), str::to_owned)
}
