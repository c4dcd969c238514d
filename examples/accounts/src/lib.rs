//! Accounts that never go below zero, transfers that move their money once and whole, and a row for each balance.
#![allow(missing_docs)]

use factstream::{
    Aggregate, App, Builder, Command, Envelope, Event, ExecuteError, Fold, Position, ReadModel,
};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(topic = "accounts.events")]
pub enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: u32 },
    Withdrawn { cents: u32 },
}

/// What decisions need of an account: `None` until it is opened, then its balance.
#[derive(Default, Clone, Debug, PartialEq)]
pub struct Account(pub Option<u64>);

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        let balance = self.0.unwrap_or(0);
        self.0 = Some(match event {
            AccountEvent::Opened { .. } => 0,
            AccountEvent::Deposited { cents } => balance + u64::from(*cents),
            AccountEvent::Withdrawn { cents } => balance - u64::from(*cents),
        });
    }
}

#[derive(Debug, Clone)]
pub enum AccountCommand {
    Open { owner: String },
    Deposit { cents: u32 },
    Withdraw { cents: u32 },
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("there is no such account")]
    NotOpen,
    #[error("the account is open already")]
    AlreadyOpen,
    #[error("the account has {balance} cents; {wanted} are wanted")]
    NotEnough { balance: u64, wanted: u32 },
    #[error("the transfer with this id was another one")]
    AnotherTransfer,
}

impl Command<Account> for AccountCommand {
    type Error = Refused;

    fn decide(&self, account: &Account) -> Result<Vec<AccountEvent>, Refused> {
        let event = match (self.clone(), account.0) {
            (Self::Open { owner }, None) => AccountEvent::Opened { owner },
            (Self::Open { .. }, Some(_)) => return Err(Refused::AlreadyOpen),
            (_, None) => return Err(Refused::NotOpen),
            (Self::Deposit { cents }, _) => AccountEvent::Deposited { cents },
            (Self::Withdraw { cents: wanted }, Some(balance)) if u64::from(wanted) > balance => {
                return Err(Refused::NotEnough { balance, wanted });
            }
            (Self::Withdraw { cents }, _) => AccountEvent::Withdrawn { cents },
        };
        Ok(vec![event])
    }
}

/// A transfer is on record under its own id, so that it is not made twice.
#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(private)]
pub enum TransferEvent {
    Made { from: String, to: String, cents: u32 },
}

#[derive(Default, Clone)]
struct Transfer(Option<TransferEvent>);

impl Aggregate for Transfer {
    const TYPE: &'static str = "transfer";
    type Event = TransferEvent;

    fn apply(&mut self, event: &TransferEvent) {
        self.0 = Some(event.clone());
    }
}

impl Command<Transfer> for TransferEvent {
    type Error = Refused;

    fn decide(&self, transfer: &Transfer) -> Result<Vec<TransferEvent>, Refused> {
        match &transfer.0 {
            None => Ok(vec![self.clone()]),
            Some(made) if made == self => Ok(vec![]),
            Some(_) => Err(Refused::AnotherTransfer),
        }
    }
}

/// Moves money: all of it or nothing, and once for each `id`. Gives the position to wait for before the balances are read.
pub async fn transfer(
    app: &App,
    id: &str,
    (from, to): (&str, &str),
    cents: u32,
) -> Result<Position, ExecuteError<Refused>> {
    let made = TransferEvent::Made { from: from.to_owned(), to: to.to_owned(), cents };
    let committed = app
        .transaction(async |mut tx| {
            let recorded = tx.command::<Transfer, _>(id, made.clone()).await?.events;
            if !recorded.is_empty() {
                tx.command(from, AccountCommand::Withdraw { cents }).await?;
                tx.command(to, AccountCommand::Deposit { cents }).await?;
            }
            Ok::<_, ExecuteError<Refused>>(())
        })
        .await?;
    let head = app.head().await?;
    Ok(committed.position().unwrap_or(head)) // none where it was made before
}

/// The row of an account.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "balances")]
pub struct Balance {
    #[column(key)]
    pub account_id: String,
    pub owner: String,
    pub cents: u64,
}

impl Fold for Balance {
    type Events = AccountEvent;

    fn fold(row: Option<Self>, event: &Envelope<AccountEvent>) -> Option<Self> {
        if let AccountEvent::Opened { owner } = &event.event {
            return Some(Self { account_id: event.aggregate_id.clone(), owner: owner.clone(), cents: 0 });
        }
        let mut account = Account(Some(row.as_ref()?.cents));
        account.apply(&event.event);
        Some(Self { cents: account.0?, ..row? })
    }
}

pub fn application(store_url: &str) -> Builder {
    App::builder(store_url).service("accounts").aggregate::<Transfer>().read_model::<Balance>()
}
