//! Plays the steps of a case, and has the reference judge what comes back.

use crate::bank::{Account, AccountRow, CREATE_EFFECTS, DepositedV1, Do, World, builder};
use crate::cases::Case;
use crate::compare;
use crate::processes::{Making, Processes, SETTLES_WITHIN};
use crate::reference::{Ev, Kind, Must, Reference};
use crate::steps::{Foreign, Order, Rebuilt, Setup, Step, Temper, What};
use factstream::envelope::{JsonText, Metadata, NewEvent, StreamId};
use factstream::message::Message;
use factstream::store::{Append, Expected, Outcome};
use factstream::{App, Error, ExecuteError};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(crate) struct Play {
    pub(crate) processes: Processes,
    pub(crate) reference: Reference,
    pub(crate) world: Arc<World>,
    setup: Setup,
    /// What was acknowledged: the position and which event must be there.
    acknowledged: Vec<(u64, String)>,
    keyed: Vec<Order>,
    /// How many steps were played: tags are made of it.
    played: usize,
}

pub(crate) fn account(number: usize) -> String {
    format!("a-{number}")
}

impl Play {
    pub(crate) fn new(url: String, setup: Setup) -> Self {
        let (acknowledged, keyed) = (Vec::new(), Vec::new());
        let (world, reference) = (Arc::<World>::default(), Reference::default());
        let of_all = Arc::clone(&world);
        let make = move || -> Making {
            let builder = builder(&url, setup, &of_all);
            Box::pin(async { builder })
        };
        let processes = Processes::new(Box::new(make), Some(CREATE_EFFECTS));
        Self { processes, reference, world, setup, acknowledged, keyed, played: 0 }
    }

    pub(crate) async fn case(&mut self, case: &Case<Setup, Step>) -> Result<(), String> {
        self.steps(&case.steps).await?;
        self.finish().await.map_err(|text| format!("at the end: {text}"))
    }

    pub(crate) async fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        for (number, step) in steps.iter().enumerate() {
            let number = number + self.played;
            let done = self.step(number, step).await;
            done.map_err(|text| format!("at step {number}, {step:?}: {text}"))?;
        }
        self.played += steps.len();
        Ok(())
    }

    async fn step(&mut self, number: usize, step: &Step) -> Result<(), String> {
        match step {
            Step::Do(order) => self.orders(number, &[*order]).await,
            Step::Again { .. } if self.keyed.is_empty() => Ok(()),
            Step::Again { by, nth } => {
                let order = Order { by: *by, ..self.keyed[nth % self.keyed.len()] };
                self.orders(number, &[order]).await
            }
            Step::Together(orders) => {
                let mut orders = orders.clone();
                for order in orders.iter_mut().filter(|order| order.what == What::Nothing) {
                    order.what = What::Deposit(1, Temper::Calm); // its place could not be known
                }
                self.orders(number, &orders).await
            }
            Step::OldBuild { by, account: to, amount, stale } => {
                self.old_build(*by, number, &account(*to), *amount, *stale).await
            }
            Step::Transfer { by, from, to, amount, commit } => {
                let app = self.processes.app(*by).await;
                self.transfer(&app, number, [account(*from), account(*to)], *amount, *commit).await
            }
            Step::Query { by, account: of } => self.query(*by, &account(*of)).await,
            Step::Fate(fate) => self.processes.meet(*fate).await,
            Step::Foreign { account: to, what } => self.foreign(number, &account(*to), *what).await,
            Step::Rebuild { by, what } => self.rebuild(*by, *what).await,
            Step::Settle => self.settle().await,
            Step::Redrive { nth, mend } => self.redrive(*nth, *mend).await,
            Step::RedriveAll { mend } => self.redrive_all(*mend).await,
            Step::Edit { nth } => self.edit(*nth).await,
            Step::Discard { nth } => self.discard(*nth).await,
        }
    }

    /// Commands at the same time. There must be an order in which the reference gives the same answers: that of the log.
    async fn orders(&mut self, number: usize, orders: &[Order]) -> Result<(), String> {
        let mut given = Vec::new();
        for (place, order) in orders.iter().enumerate() {
            let (app, tag) = (self.processes.app(order.by).await, format!("{number}.{place}"));
            self.keyed.extend(order.key.map(|_| *order));
            given.push((*order, tag.clone(), tokio::spawn(execute(app, *order, tag))));
        }
        let mut answers = Vec::new();
        for (order, tag, answer) in given {
            answers.push((order, tag, answer.await.map_err(|error| error.to_string())??));
        }
        answers.sort_by_key(|(.., answer)| match answer {
            Answer::Done { position, repeated: false, .. } => *position,
            _ => u64::MAX,
        });
        let mut before = vec![self.reference.clone()];
        for (order, tag, answer) in &answers {
            let id = account(order.account);
            let must = |reference: &Reference| reference.must(&id, order.what, tag, order.key, &print(order));
            if let Answer::Done { version, position, repeated: false } = *answer {
                let Must::Accept(events, at) = must(&self.reference) else {
                    return Err(format!("{order:?}: must be {:?}, is {answer:?}", must(&self.reference)));
                };
                if at != version {
                    return Err(format!("{order:?}: the version must be {at}, is {version}"));
                }
                order
                    .key
                    .into_iter()
                    .for_each(|key| self.reference.used(key, &print(order), version, position));
                self.acknowledged.extend(events.last().map(|last| (position, last.tag.clone())));
                self.reference.record(events);
                before.push(self.reference.clone());
            } else if !before.iter().any(|reference| answer.is(&must(reference))) {
                let musts: Vec<Must> = before.iter().map(must).collect();
                return Err(format!("{order:?}: must be one of {musts:?}, is {answer:?}"));
            }
        }
        Ok(())
    }

    async fn old_build(
        &mut self,
        by: usize,
        number: usize,
        id: &str,
        amount: i64,
        stale: bool,
    ) -> Result<(), String> {
        let (tag, amount) = (format!("{number}.old"), amount * 2);
        let events = self.reference.decide(id, What::Deposit(amount, Temper::Calm), &tag);
        let Some([event]) = events.as_deref() else { return Ok(()) }; // it is not open
        let app = self.processes.app(by).await;
        let actual = self.reference.version(id);
        let expected = if stale { actual - 1 } else { actual };
        let metadata =
            Metadata { source: "old".into(), topic: Some("accounts.events".into()), ..Metadata::default() };
        let data = DepositedV1 { tag: &event.tag, sum: amount.to_string() };
        let old = NewEvent {
            event_id: Uuid::now_v7(),
            event_type: "MoneyDeposited".into(),
            schema_version: 1,
            data: serde_json::to_string(&data).unwrap().into(),
            metadata: JsonText::of_metadata(&metadata).unwrap(),
            timestamp: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let stream = StreamId::new("account", id).unwrap();
        let append = Append { stream, expected: Expected::Exact(expected), events: vec![old] };
        match app.store().append(append, None).await.map_err(|error| error.to_string())? {
            Outcome::Appended(done) if !stale && done.version == actual + 1 => {
                self.acknowledged.push((done.position, event.tag.clone()));
                self.reference.record(events.unwrap_or_default());
                Ok(())
            }
            Outcome::Conflict(conflict)
                if stale && (conflict.expected, conflict.actual) == (expected, actual) =>
            {
                Ok(())
            }
            other => Err(format!("an append at version {expected} of {actual} came to {other:?}")),
        }
    }

    async fn transfer(
        &mut self,
        app: &App,
        number: usize,
        ids: [String; 2],
        amount: i64,
        commit: bool,
    ) -> Result<(), String> {
        let whats = [What::Withdraw(amount, Temper::Calm), What::Deposit(amount, Temper::Calm)];
        let mut tx = app.begin().await.map_err(|error| error.to_string())?;
        let mut then = self.reference.clone();
        for (part, (id, what)) in ids.iter().zip(whats).enumerate() {
            let tag = format!("{number}.{part}");
            let must = then.decide(id, what, &tag);
            match (tx.command::<Account, _>(id, Do { what, tag }).await, must) {
                (Err(ExecuteError::Rejected(_)), None) => return Ok(()), // nothing of it has happened
                (Ok(_), Some(events)) => then.record(events),
                (is, must) => return Err(format!("{what:?} in a transaction must be {must:?}, is {is:?}")),
            }
        }
        if commit {
            let appended = tx.commit().await.map_err(|error| error.to_string())?;
            let last = appended.iter().map(|done| done.position).max().expect("it has events");
            self.acknowledged.extend(then.log.last().map(|ev| (last, ev.tag.clone())));
            self.reference = then;
        }
        Ok(())
    }

    async fn query(&mut self, by: usize, id: &str) -> Result<(), String> {
        let position = self.acknowledged.iter().map(|(position, _)| *position).max().unwrap_or(0);
        let app = self.processes.app(by).await;
        let read = app.read::<AccountRow>().wait_for(position).deadline(SETTLES_WITHIN).get(id).await;
        let row = read.map_err(|error| error.to_string())?;
        let (is, must) =
            (row.map(|row| (row.balance, row.movements)), self.reference.rows().get(id).copied());
        if is == must { Ok(()) } else { Err(format!("the row of {id} must be {must:?}, is {is:?}")) }
    }

    /// Publishes what the relay did not. Its place among the relay's records is known only once those are all there.
    async fn foreign(&mut self, number: usize, id: &str, what: Foreign) -> Result<(), String> {
        self.settle().await?;
        let app = self.processes.app(0).await;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let of_type =
            |name: &str| vec![header("event_type", name), header("event_id", &format!("foreign {number}"))];
        let mut ev = Ev {
            account: id.to_owned(),
            kind: Kind::Garbage,
            amount: 1,
            temper: Temper::Calm,
            tag: format!("foreign {number}"),
        };
        let (value, headers) = match what {
            Foreign::Duplicate(nth) => {
                let log = app.read_log(0, compare::ALL).await.map_err(|error| error.to_string())?;
                let public: Vec<Message> =
                    log.iter().filter_map(|event| Message::of(event).unwrap()).collect();
                let again = public.get(nth % public.len().max(1)).cloned();
                let again = Vec::from_iter(again);
                return app.broker().publish(again).await.map_err(|error| error.to_string());
            }
            Foreign::Garbage => (ev.tag.clone(), of_type("MoneyDeposited")),
            Foreign::Headerless => (ev.tag.clone(), vec![]),
            Foreign::UnknownType => {
                ev.kind = Kind::Unknown;
                (serde_json::json!({ "tag": &ev.tag }).to_string(), of_type("NobodyKnows"))
            }
            Foreign::Valid(temper) => {
                (ev.kind, ev.temper) = (Kind::Deposited, temper);
                let value = serde_json::json!({ "tag": &ev.tag, "amount": 1, "temper": temper });
                (value.to_string(), [of_type("MoneyDeposited"), vec![header("schema_version", "2")]].concat())
            }
        };
        let message = Message {
            topic: "accounts.events".into(),
            key: Some(id.into()),
            value: Some(value.into_bytes()),
            headers: headers.into_iter().collect(),
            timestamp: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        app.broker().publish(vec![message]).await.map_err(|error| error.to_string())?;
        self.reference.foreign(&ev);
        Ok(())
    }

    async fn rebuild(&mut self, by: usize, what: Rebuilt) -> Result<(), String> {
        let app = self.processes.app(by).await;
        let projections: &[&str] = match what {
            Rebuilt::Journal => &["journal"],
            _ if self.setup.has_split_rows => &["account_rows", "account_rows_split"],
            _ => &["account_rows"],
        };
        for projection in projections {
            let rebuild = app.rebuild(projection, |_| {});
            match what {
                Rebuilt::RowsHalf => drop(tokio::time::timeout(Duration::from_millis(3), rebuild).await),
                _ => drop(rebuild.await.map_err(|error| format!("the rebuild of {projection}: {error}"))?),
            }
        }
        if what == Rebuilt::Journal {
            self.reference.rebuild_journal();
        }
        Ok(())
    }

    /// Waits until nothing is left to do, and compares everything.
    pub(crate) async fn settle(&mut self) -> Result<(), String> {
        self.processes.settle(async |_| true).await?;
        for app in self.processes.all().await {
            compare::compare(&app, &self.reference, &self.acknowledged).await?;
        }
        Ok(())
    }

    /// Everything is mended, redriven or given up: nothing is left behind.
    async fn finish(&mut self) -> Result<(), String> {
        self.settle().await?;
        while !self.reference.heads().is_empty() {
            self.redrive_all(true).await?;
            self.settle().await?;
            self.discard_garbage().await?;
            self.settle().await?;
        }
        let app = self.processes.app(0).await;
        compare::topics(&app).await?;
        compare::nothing_left(&app).await?;
        self.processes.stop(0).await?;
        self.processes.stop(1).await
    }
}

/// What came back.
#[derive(Debug)]
enum Answer {
    Done { version: u64, position: u64, repeated: bool },
    Refused,
    KeyReused,
}

impl Answer {
    fn is(&self, must: &Must) -> bool {
        match (self, must) {
            (Self::Done { version, position, repeated: true }, Must::Repeat(at, first)) => {
                (version, position) == (at, first)
            }
            (Self::Refused, Must::Refuse) | (Self::KeyReused, Must::KeyReused) => true,
            _ => false,
        }
    }
}

/// What a key stands for.
fn print(order: &Order) -> String {
    format!("{} {:?}", order.account, order.what)
}

async fn execute(app: App, order: Order, tag: String) -> Result<Answer, String> {
    let execute = app.execute::<Account, _>(account(order.account), Do { what: order.what, tag });
    let executed = match order.key {
        Some(key) => execute.key_for(format!("k-{key}"), &print(&order)).await,
        None => execute.await,
    };
    match executed {
        Ok(done) if done.aggregate_id != account(order.account) => Err(format!("{order:?} came to {done:?}")),
        Ok(done) => {
            Ok(Answer::Done { version: done.version, position: done.position, repeated: done.repeated })
        }
        Err(ExecuteError::Rejected(_)) => Ok(Answer::Refused),
        Err(ExecuteError::Failed(Error::KeyReused { .. })) => Ok(Answer::KeyReused),
        Err(error) => Err(format!("{order:?}: {error}")),
    }
}
