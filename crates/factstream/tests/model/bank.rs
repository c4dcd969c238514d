//! The application under test: accounts, three consumers, a projection and a read model, with handlers that fail as
//! the events tell them to.
//!
//! Invariant: nothing that the handlers do is idempotent by itself: each effect is a plain INSERT, before the handler
//! fails. Only the framework can make it exactly once.

use crate::steps::{Setup, Temper, What, Who};
use factstream::decode::UpcastFailure;
use factstream::{
    Aggregate, App, Builder, Command, Consumer, Envelope, Event, EventSet, ExternalHandler, Failure, Fold,
    Handler, Projection, Projector, ReadModel, Retry, Rows, Tx, UnknownTypes, Upcasters, params,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Event, Serialize, Deserialize, Debug, Clone)]
#[event(topic = "accounts.events")]
pub(crate) enum AccountEvent {
    #[event(name = "AccountOpened")]
    Opened { tag: String },
    #[event(name = "MoneyDeposited", version = 2)]
    Deposited { tag: String, amount: i64, temper: Temper },
    #[event(name = "MoneyWithdrawn")]
    Withdrawn { tag: String, amount: i64, temper: Temper },
    #[event(name = "AccountClosed")]
    Closed { tag: String },
    #[event(name = "OddAmountNoted", private)]
    Noted { tag: String },
    #[event(name = "BalanceLow", topic = "alerts.events")]
    Alerted { tag: String },
}

/// Those of them that the consumers of `accounts.events` are given.
#[derive(Event, Serialize, Deserialize, Debug, Clone)]
#[event(topic = "accounts.events")]
pub(crate) enum Movement {
    #[event(name = "AccountOpened")]
    Opened { tag: String },
    #[event(name = "MoneyDeposited", version = 2)]
    Deposited { tag: String, temper: Temper },
    #[event(name = "MoneyWithdrawn")]
    Withdrawn { tag: String, temper: Temper },
    #[event(name = "AccountClosed")]
    Closed { tag: String },
}

#[derive(Event, Serialize, Deserialize, Debug, Clone)]
#[event(topic = "alerts.events")]
pub(crate) enum Alert {
    #[event(name = "BalanceLow")]
    Alerted { tag: String },
}

/// What the ledger appends for each event, to a stream of its own.
#[derive(Event, Serialize, Deserialize, Debug, Clone)]
#[event(topic = "receipts.events")]
pub(crate) enum ReceiptEvent {
    #[event(name = "ReceiptWritten")]
    Written { tag: String },
}

#[derive(EventSet, Debug, Clone)]
pub(crate) enum Page {
    Alert(Alert),
    Receipt(ReceiptEvent),
}

/// The first schema version of a deposit, as an older build writes it.
#[derive(Serialize)]
pub(crate) struct DepositedV1<'a> {
    pub(crate) tag: &'a str,
    pub(crate) sum: String,
}

fn sum_to_amount(mut event: serde_json::Value) -> Result<serde_json::Value, UpcastFailure> {
    let sum = event["sum"].as_str().ok_or("a deposit without a sum")?;
    event["amount"] = sum.parse::<i64>()?.into();
    event["temper"] = "Calm".into();
    Ok(event)
}

#[derive(Default, Clone)]
pub(crate) struct Account {
    open: bool,
    closed: bool,
    balance: i64,
}

impl Account {
    pub(crate) fn balance(&self) -> i64 {
        self.balance
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Deposited { amount, .. } => self.balance += amount,
            AccountEvent::Withdrawn { amount, .. } => self.balance -= amount,
            AccountEvent::Closed { .. } => self.closed = true,
            AccountEvent::Noted { .. } | AccountEvent::Alerted { .. } => {}
        }
    }
}

#[derive(Default, Clone)]
struct Receipt;

impl Aggregate for Receipt {
    const TYPE: &'static str = "receipt";
    type Event = ReceiptEvent;
    fn apply(&mut self, _: &ReceiptEvent) {}
}

#[derive(Debug, Clone)]
pub(crate) struct Do {
    pub(crate) what: What,
    pub(crate) tag: String,
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused;

impl Command<Account> for Do {
    type Error = Refused;

    fn decide(&self, account: &Account) -> Result<Vec<AccountEvent>, Refused> {
        let tag = |letter| format!("{}{letter}", self.tag);
        if account.closed {
            return Err(Refused);
        }
        match self.what {
            What::Nothing => Ok(vec![]),
            What::Open if !account.open => Ok(vec![AccountEvent::Opened { tag: tag('O') }]),
            What::Deposit(amount, temper) => {
                let mut events = Vec::new();
                if !account.open {
                    events.push(AccountEvent::Opened { tag: tag('O') });
                }
                events.push(AccountEvent::Deposited { tag: tag('D'), amount, temper });
                if amount % 2 == 1 {
                    events.push(AccountEvent::Noted { tag: tag('N') });
                }
                Ok(events)
            }
            What::Withdraw(amount, temper) if account.open && amount <= account.balance => {
                let mut events = vec![AccountEvent::Withdrawn { tag: tag('W'), amount, temper }];
                if account.balance - amount < 10 {
                    events.push(AccountEvent::Alerted { tag: tag('A') });
                }
                Ok(events)
            }
            What::Close if account.open => Ok(vec![AccountEvent::Closed { tag: tag('C') }]),
            _ => Err(Refused),
        }
    }
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "account_rows")]
pub(crate) struct AccountRow {
    #[column(key)]
    pub(crate) account: String,
    pub(crate) balance: i64,
    pub(crate) movements: i64,
}

/// The same rows, folded by a projection that is split between processes.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "account_rows_split")]
pub(crate) struct SplitRow {
    #[column(key)]
    pub(crate) account: String,
    pub(crate) balance: i64,
    pub(crate) movements: i64,
}

macro_rules! fold {
    ($row:ident, $shards:expr) => {
        impl Fold for $row {
            type Events = AccountEvent;

            fn fold(row: Option<Self>, event: &Envelope<AccountEvent>) -> Option<Self> {
                let add = |amount: i64| {
                    row.clone().map(|row| Self {
                        balance: row.balance + amount,
                        movements: row.movements + 1,
                        ..row
                    })
                };
                match &event.event {
                    AccountEvent::Opened { .. } => {
                        Some(Self { account: event.aggregate_id.clone(), balance: 0, movements: 0 })
                    }
                    AccountEvent::Deposited { amount, .. } => add(*amount),
                    AccountEvent::Withdrawn { amount, .. } => add(-amount),
                    AccountEvent::Closed { .. } => None,
                    AccountEvent::Noted { .. } | AccountEvent::Alerted { .. } => row,
                }
            }

            fn shards() -> u32 {
                $shards
            }
        }
    };
}
fold!(AccountRow, 1);
fold!(SplitRow, 3);

/// What lies outside every process: how often something failed already, and what a person has mended.
#[derive(Default)]
pub(crate) struct World {
    failed: Mutex<HashMap<(Who, String), u32>>,
    mended: Mutex<HashSet<String>>,
}

impl World {
    pub(crate) fn mend(&self, tag: &str) {
        self.mended.lock().unwrap().insert(tag.to_owned());
    }

    fn bear(&self, who: Who, tag: &str, temper: Temper) -> Result<(), Failure> {
        let mended = self.mended.lock().unwrap().contains(tag);
        match temper {
            Temper::Fails(hurt, times) if hurt == who => {
                let mut failed = self.failed.lock().unwrap();
                let failed = failed.entry((who, tag.to_owned())).or_default();
                *failed += 1;
                if *failed <= times { Err("not yet".into()) } else { Ok(()) }
            }
            Temper::Dies(hurt) if hurt == who && !mended => Err(Failure::permanent("it can never work")),
            Temper::Panics(hurt) if hurt == who && !mended => panic!("told to"),
            _ => Ok(()),
        }
    }
}

/// The table of the consumers' effects.
pub(crate) const CREATE_EFFECTS: &str =
    "CREATE TABLE effects (handler TEXT, account TEXT, entry BIGINT, tag TEXT)";

async fn add_effect(tx: &mut Rows, handler: &str, account: &str, tag: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO effects (handler, account, entry, tag) \
               SELECT $1, $2, coalesce(max(entry), 0) + 1, $3 FROM effects";
    tx.sql(sql, params![handler, account, tag]).await?;
    tokio::task::yield_now().await; // so that a crash may come here, too
    Ok(())
}

impl Movement {
    fn parts(&self) -> (&str, Temper) {
        match self {
            Self::Opened { tag } | Self::Closed { tag } => (tag, Temper::Calm),
            Self::Deposited { tag, temper } | Self::Withdrawn { tag, temper } => (tag, *temper),
        }
    }
}

/// Writes an effect and a receipt for each movement.
struct Ledger(Arc<World>);

impl Handler for Ledger {
    type Events = Movement;

    async fn handle(&self, event: &Envelope<Movement>, tx: &mut Tx) -> Result<(), Failure> {
        let (tag, temper) = event.event.parts();
        add_effect(tx, "ledger", &event.aggregate_id, tag).await?;
        let receipt = ReceiptEvent::Written { tag: tag.to_owned() };
        tx.append::<Receipt>(&format!("r-{}", event.aggregate_id), &[receipt]).await?;
        self.0.bear(Who::Ledger, tag, temper)
    }
}

/// Asks outside first. Demands that every type of its topic is known.
struct Auditor(Arc<World>);

impl ExternalHandler for Auditor {
    type Events = Movement;
    type Outcome = String;

    async fn call(&self, event: &Envelope<Movement>) -> Result<String, Failure> {
        let (tag, temper) = event.event.parts();
        self.0.bear(Who::Auditor, tag, temper)?;
        Ok(tag.to_owned())
    }

    async fn handle(&self, event: &Envelope<Movement>, tag: &String, tx: &mut Tx) -> Result<(), Failure> {
        add_effect(tx, "auditor", &event.aggregate_id, tag).await
    }
}

/// Reads two topics.
struct Pager;

impl Handler for Pager {
    type Events = Page;

    async fn handle(&self, event: &Envelope<Page>, tx: &mut Tx) -> Result<(), Failure> {
        let (Page::Alert(Alert::Alerted { tag }) | Page::Receipt(ReceiptEvent::Written { tag })) =
            &event.event;
        add_effect(tx, "pager", &event.aggregate_id, tag).await
    }
}

/// Every event of the log, in a table of its own that can be rebuilt.
struct Journal(Arc<World>);

impl Projector for Journal {
    type Events = AccountEvent;

    async fn project(&self, event: &Envelope<AccountEvent>, tx: &mut Rows) -> Result<(), Failure> {
        let (tag, temper) = match &event.event {
            AccountEvent::Deposited { tag, temper, .. } | AccountEvent::Withdrawn { tag, temper, .. } => {
                (tag, *temper)
            }
            AccountEvent::Opened { tag }
            | AccountEvent::Closed { tag }
            | AccountEvent::Noted { tag }
            | AccountEvent::Alerted { tag } => (tag, Temper::Calm),
        };
        let journal = tx.table("journal");
        let sql = format!(
            "INSERT INTO {journal} (account, entry, tag) SELECT $1, coalesce(max(entry), 0) + 1, $2 FROM {journal}"
        );
        tx.sql(&sql, params![&event.aggregate_id, tag]).await?;
        tokio::task::yield_now().await;
        self.0.bear(Who::Journal, tag, temper)
    }
}

/// More attempts than any event needs that is to work in the end.
const RETRY: Retry = Retry {
    max_attempts: 6,
    initial: Duration::from_millis(1),
    factor: 2.0,
    max_delay: Duration::from_millis(10),
    jitter: 0.2,
};

/// The application, as every process of a case runs it.
pub(crate) fn builder(url: &str, setup: Setup, world: &Arc<World>) -> Builder {
    let consumer = |name: &str| Consumer::new(name).retry(RETRY).batch(setup.batch);
    let journal = Projection::new("journal", Journal(Arc::clone(world)))
        .table("journal", "CREATE TABLE {table} (account TEXT, entry BIGINT, tag TEXT)", &[])
        .retry(RETRY)
        .batch(setup.batch)
        .concurrency(setup.journal_lanes);
    let builder = App::builder(url)
        .service("bank")
        .partitions(2)
        .aggregate::<Account>()
        .aggregate::<Receipt>()
        .upcasters(Upcasters::new().step("MoneyDeposited", 1, 2, sum_to_amount))
        .read_model::<AccountRow>()
        .projection(journal)
        .consumer(consumer("ledger").handler(Ledger(Arc::clone(world))).concurrency(setup.ledger_lanes))
        .consumer(
            consumer("auditor")
                .external(Auditor(Arc::clone(world)))
                .concurrency(setup.ledger_lanes)
                .unknown_types(UnknownTypes::DeadLetter),
        )
        .consumer(consumer("pager").handler(Pager));
    if setup.has_split_rows { builder.read_model::<SplitRow>() } else { builder }
}
