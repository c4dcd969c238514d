//! What must be: plain maps, no store, no time. Every rule of the model is here once, in its simplest form.

use crate::steps::{Temper, What, Who};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Opened,
    Deposited,
    Withdrawn,
    Closed,
    Noted,
    Alerted,
    /// Nobody can read it.
    Garbage,
    /// Well formed, of a type that no handler names.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ev {
    pub(crate) account: String,
    pub(crate) kind: Kind,
    pub(crate) amount: i64,
    pub(crate) temper: Temper,
    pub(crate) tag: String,
}

/// What a command must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Must {
    /// These events, and the stream's version after them.
    Accept(Vec<Ev>, u64),
    Refuse,
    /// The first answer: version and position.
    Repeat(u64, u64),
    KeyReused,
}

/// A key of a handler: what took effect, and what is held. The first that is held has failed, the rest waits behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) effects: Vec<String>,
    pub(crate) held: VecDeque<Ev>,
}

/// A row of the read model: balance and movements.
pub(crate) type Rows = BTreeMap<String, (i64, i64)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Reference {
    pub(crate) log: Vec<Ev>,
    pub(crate) lanes: BTreeMap<(&'static str, String), Lane>,
    keys: BTreeMap<u8, (String, u64, u64)>,
    mended: BTreeSet<String>,
    /// What a person decided about events of the journal, by their tags: another event, or nothing.
    amended: BTreeMap<String, Option<Ev>>,
}

impl Reference {
    /// Open or not, and the balance; `None` once it is closed.
    fn state(&self, account: &str) -> Option<(bool, i64)> {
        self.log.iter().filter(|ev| ev.account == account).try_fold((false, 0), |(_, balance), ev| {
            match ev.kind {
                Kind::Deposited => Some((true, balance + ev.amount)),
                Kind::Withdrawn => Some((true, balance - ev.amount)),
                Kind::Closed => None,
                _ => Some((true, balance)),
            }
        })
    }

    pub(crate) fn version(&self, account: &str) -> u64 {
        self.log.iter().filter(|ev| ev.account == account).count() as u64
    }

    /// The events that a command makes now; `None`: it is refused.
    pub(crate) fn decide(&self, account: &str, what: What, tag: &str) -> Option<Vec<Ev>> {
        let (open, balance) = self.state(account)?;
        let ev = |kind, amount, temper| {
            let tag = format!("{tag}{}", &format!("{kind:?}")[..1]);
            Ev { account: account.to_owned(), kind, amount, temper, tag }
        };
        let calm = |kind| ev(kind, 0, Temper::Calm);
        match what {
            What::Nothing => Some(vec![]),
            What::Open => (!open).then(|| vec![calm(Kind::Opened)]),
            What::Deposit(amount, temper) => {
                let opened = (!open).then(|| calm(Kind::Opened));
                let noted = (amount % 2 == 1).then(|| calm(Kind::Noted));
                Some(opened.into_iter().chain([ev(Kind::Deposited, amount, temper)]).chain(noted).collect())
            }
            What::Withdraw(amount, temper) => (open && amount <= balance).then(|| {
                let alerted = (balance - amount < 10).then(|| calm(Kind::Alerted));
                [ev(Kind::Withdrawn, amount, temper)].into_iter().chain(alerted).collect()
            }),
            What::Close => open.then(|| vec![calm(Kind::Closed)]),
        }
    }

    /// What a command must come to. `print` tells commands apart that use the same key.
    pub(crate) fn must(&self, account: &str, what: What, tag: &str, key: Option<u8>, print: &str) -> Must {
        match key.and_then(|key| self.keys.get(&key)) {
            Some((first, version, position)) if first == print => Must::Repeat(*version, *position),
            Some(_) => Must::KeyReused,
            None => self.decide(account, what, tag).map_or(Must::Refuse, |events| {
                let version = self.version(account) + events.len() as u64;
                Must::Accept(events, version)
            }),
        }
    }

    /// A key was used for an accepted command.
    pub(crate) fn used(&mut self, key: u8, print: &str, version: u64, position: u64) {
        self.keys.insert(key, (print.to_owned(), version, position));
    }

    /// Events are in the log: everybody is given them, in order.
    pub(crate) fn record(&mut self, events: Vec<Ev>) {
        for ev in events {
            let to: &[&'static str] = match ev.kind {
                Kind::Noted => &["journal"],
                Kind::Alerted => &["journal", "pager"],
                _ => &["journal", "ledger", "auditor"],
            };
            for handler in to {
                self.deliver(handler, &ev);
            }
            self.log.push(ev);
        }
    }

    /// A record that is on the topic only.
    pub(crate) fn foreign(&mut self, ev: &Ev) {
        if ev.kind != Kind::Unknown {
            self.deliver("ledger", ev); // it skips types that it does not know
        }
        self.deliver("auditor", ev);
    }

    fn deliver(&mut self, handler: &'static str, ev: &Ev) {
        let lane = self.lanes.entry((handler, ev.account.clone())).or_default();
        lane.held.push_back(ev.clone());
        if lane.held.len() == 1 {
            self.attempt(handler, &ev.account);
        }
    }

    /// Handles what is held of a key, in order, until one fails.
    pub(crate) fn attempt(&mut self, handler: &'static str, account: &str) {
        let Some(lane) = self.lanes.get_mut(&(handler, account.to_owned())) else { return };
        while let Some(ev) = lane.held.pop_front_if(|ev| !fails(&self.mended, handler, ev)) {
            lane.effects.push(ev.tag);
        }
    }

    pub(crate) fn mend(&mut self, tag: &str) {
        self.mended.insert(tag.to_owned());
    }

    /// The keys that stand still, each with the event that failed.
    pub(crate) fn heads(&self) -> Vec<(&'static str, String, Ev)> {
        let held = self.lanes.iter().filter_map(|(key, lane)| Some((key, lane.held.front()?)));
        held.map(|((handler, account), ev)| (*handler, account.clone(), ev.clone())).collect()
    }

    /// The event that failed is given up, or another is put in its place.
    pub(crate) fn replace_head(&mut self, handler: &'static str, account: &str, by: Option<Ev>) {
        if let Some(lane) = self.lanes.get_mut(&(handler, account.to_owned())) {
            let before = lane.held.pop_front();
            if let (Some(before), "journal") = (before, handler) {
                let tag = before.tag.split(", edited").next().unwrap_or_default().to_owned();
                self.amended.insert(tag, by.clone());
            }
            if let Some(ev) = by {
                lane.held.push_front(ev);
            }
        }
        self.attempt(handler, account);
    }

    /// A rebuild of the journal gives it the whole log anew, but for what a person has decided about single events.
    pub(crate) fn rebuild_journal(&mut self) {
        self.lanes.retain(|(handler, _), _| *handler != "journal");
        for ev in self.log.clone() {
            match self.amended.get(&ev.tag).cloned() {
                None => self.deliver("journal", &ev),
                Some(Some(edited)) => self.deliver("journal", &edited),
                Some(None) => {}
            }
        }
    }

    /// The rows that a fold over the log gives.
    pub(crate) fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for ev in &self.log {
            match (ev.kind, rows.get_mut(&ev.account)) {
                (Kind::Opened, None) => drop(rows.insert(ev.account.clone(), (0, 0))),
                (Kind::Deposited, Some(row)) => *row = (row.0 + ev.amount, row.1 + 1),
                (Kind::Withdrawn, Some(row)) => *row = (row.0 - ev.amount, row.1 + 1),
                (Kind::Closed, Some(_)) => drop(rows.remove(&ev.account)),
                _ => {}
            }
        }
        rows
    }
}

fn fails(mended: &BTreeSet<String>, handler: &str, ev: &Ev) -> bool {
    let name = |who| match who {
        Who::Ledger => "ledger",
        Who::Auditor => "auditor",
        Who::Journal => "journal",
    };
    let hurts = |who| name(who) == handler && !mended.contains(&ev.tag);
    match (ev.kind, ev.temper) {
        (Kind::Garbage | Kind::Unknown, _) => true,
        (_, Temper::Dies(who) | Temper::Panics(who)) => hurts(who),
        _ => false,
    }
}
