//! A transaction of one's own over several aggregates and tables, run again when it lost to another writer.

use crate::app::App;
use crate::command::together::ATTEMPTS_MAX;
use crate::error::Error;
use crate::kernel::inside;
use crate::tx::Tx;
use factstream_core::context::Context;
use factstream_core::envelope::Position;
use factstream_core::store::{Appended, StoreError};
use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use tokio::sync::oneshot;

/// The outcome of a transaction: it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<T> {
    /// What the work returned.
    pub value: T,
    /// The appends, one for each call that appended events, in their order.
    pub appended: Vec<Appended>,
}

impl<T> Committed<T> {
    /// The position of its last event: what to `wait_for`. `None` when it appended no event.
    pub fn position(&self) -> Option<Position> {
        self.appended.iter().map(|appended| appended.position).max()
    }
}

/// The transaction that the work of [`App::transaction`] is given: a [`Tx`], which goes back when the work is done with it, to be
/// committed or rolled back.
pub struct LentTx {
    /// There until it is dropped.
    tx: Option<Tx>,
    home: Option<oneshot::Sender<Tx>>,
}

impl fmt::Debug for LentTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentTx").finish_non_exhaustive()
    }
}

const IS_THERE: &str = "the transaction is there until it is given back";

impl Deref for LentTx {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        self.tx.as_ref().expect(IS_THERE)
    }
}

impl DerefMut for LentTx {
    fn deref_mut(&mut self) -> &mut Tx {
        self.tx.as_mut().expect(IS_THERE)
    }
}

impl Drop for LentTx {
    fn drop(&mut self) {
        if let (Some(tx), Some(home)) = (self.tx.take(), self.home.take()) {
            let _ = home.send(tx); // nobody waits for it any more: rolled back
        }
    }
}

/// A transaction that is about to run; `.await` it.
#[must_use = "a transaction does nothing until it is awaited"]
pub struct Transact<'a, W> {
    app: &'a App,
    work: W,
    context: Option<Context>,
}

impl<W> fmt::Debug for Transact<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transact").field("context", &self.context).finish_non_exhaustive()
    }
}

impl<W> Transact<'_, W> {
    /// Who asks, in which conversation and trace, for all that the transaction appends: as [`Execute::context`](crate::Execute::context).
    ///
    /// ```
    /// # use factstream::{App, Context, Error, LentTx, params};
    /// # async fn example(app: &App) -> Result<(), Error> {
    /// let work = async |mut tx: LentTx| Ok::<_, Error>(tx.sql("DELETE FROM drafts", params![]).await?);
    /// app.transaction(work).context(&Context::new().actor("user-7")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    async fn run<T, E, F>(self) -> Result<Committed<T>, E>
    where
        W: Fn(LentTx) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let Self { app, work, context } = self;
        inside::refuse(app.store_id(), "App::transaction")?;
        let origin = app.kernel().origin_of(context.as_ref())?;
        let mut lost_on = BTreeSet::new();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let _turns = app.kernel().turns_of(&lost_on).await;
            let tx = Tx::begin_as(app.kernel(), origin.clone()).await?;
            let (home, mut back) = oneshot::channel();
            let worked =
                inside::inside(app.store_id(), work(LentTx { tx: Some(tx), home: Some(home) })).await;
            let Ok(mut tx) = back.try_recv() else {
                let text = "the work of a transaction is over, but not done with its Tx; do not keep it";
                return Err(Error::Wiring(text.into()).into());
            };
            let fault = tx.take_fault();
            let lost = match (worked, fault) {
                (_, Some(fault @ StoreError::Contention(_))) => fault.into(),
                (Err(error), _) => return Err(error),
                (Ok(_), Some(fault)) => return Err(Error::from(fault).into()),
                (Ok(value), None) => match tx.commit().await {
                    Ok(appended) => return Ok(Committed { value, appended }),
                    Err(Error::Conflict(conflict)) => {
                        lost_on.insert(conflict.stream.clone());
                        Error::Conflict(conflict)
                    }
                    Err(error @ Error::Store(StoreError::Contention(_))) => error,
                    Err(error) => return Err(error.into()),
                },
            };
            if attempts == ATTEMPTS_MAX {
                return Err(lost.into());
            }
        }
    }
}

impl<'a, W, F, T, E> IntoFuture for Transact<'a, W>
where
    W: Fn(LentTx) -> F + Send + 'a,
    F: Future<Output = Result<T, E>> + Send + 'a,
    T: Send + 'a,
    E: From<Error> + Send + 'a,
{
    type Output = Result<Committed<T>, E>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl App {
    /// Runs `work` in a transaction: SQL, events and commands on several aggregates that take effect together, or not at all.
    ///
    /// An error of `work` rolls everything back. When another writer was faster on one of the streams, or other work is in the way,
    /// everything is rolled back and `work` runs again, at most [`ATTEMPTS_MAX`] times. So it should have no effects but those through the [`Tx`].
    ///
    /// ```
    /// # use factstream::{Aggregate, App, Command, Event, ExecuteError};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Event, Serialize, Deserialize)]
    /// # enum AccountEvent { #[event(name = "Moved")] Moved { cents: i64 } }
    /// # #[derive(Default, Clone)]
    /// # struct Account { cents: i64 }
    /// # impl Aggregate for Account {
    /// #     const TYPE: &'static str = "account";
    /// #     type Event = AccountEvent;
    /// #     fn apply(&mut self, AccountEvent::Moved { cents }: &AccountEvent) { self.cents += cents; }
    /// # }
    /// # #[derive(Debug, thiserror::Error)]
    /// # #[error("not enough money")]
    /// # struct NotEnough;
    /// # struct Move(i64);
    /// # impl Command<Account> for Move {
    /// #     type Error = NotEnough;
    /// #     fn decide(&self, account: &Account) -> Result<Vec<AccountEvent>, NotEnough> {
    /// #         if account.cents + self.0 < 0 { return Err(NotEnough) }
    /// #         Ok(vec![AccountEvent::Moved { cents: self.0 }])
    /// #     }
    /// # }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let app = App::open(format!("sqlite://{}", dir.path().join("bank.db").display())).await?;
    /// # app.execute("a", Move(500)).await?;
    /// let committed = app
    ///     .transaction(async |mut tx| {
    ///         tx.command("a", Move(-200)).await?;
    ///         tx.command("b", Move(200)).await?;
    ///         Ok::<_, ExecuteError<NotEnough>>(())
    ///     })
    ///     .await?;
    /// assert_eq!(committed.position(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `work`; [`Error::Conflict`] after the last attempt; and what the store reports.
    pub fn transaction<T, E, W, F>(&self, work: W) -> Transact<'_, W>
    where
        W: Fn(LentTx) -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        Transact { app: self, work, context: None }
    }
}
