//! Appends inside a transaction that a user's own code began with tokio-postgres, and commits.
//!
//! Invariants: the counter is locked here and stays so until the user's transaction ends, so positions are gapless and in
//! commit order (G3) as with every other append. What is refused or fails leaves the transaction as it was: a savepoint.

use crate::error::of_append;
use crate::identity::{IDENTITY, Identity};
use crate::shared::Shared;
use crate::statements::Statements;
use crate::store::PostgresStore;
use crate::transaction::{Placed, append_within};
use factstream_core::recordable;
use factstream_core::store::{Append, Appended, Conflict, Outcome, StoreError};
use tokio_postgres::{Error, Transaction};

/// What became of appends in a transaction that is not yet committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendedIn {
    /// They are in the transaction, one entry for each append, and are there for others when it commits.
    Appended(Vec<Appended>),
    /// A stream had moved on: none is in the transaction, which is as it was before and may go on.
    Conflict(Conflict),
}

impl PostgresStore {
    /// Appends events inside a transaction of your own, to be committed by you together with your own rows.
    ///
    /// The connection has to be to the store's database, with the same `search_path`; any isolation level does. Call this
    /// last, right before your COMMIT: from here on the transaction holds the log's lock, and every other append waits for
    /// it. A conflict and an error leave the transaction as it was before the call (there is a savepoint), and without that
    /// lock; but when the future is dropped before it is ready, roll back. Your transaction's own limits hold
    /// (`lock_timeout`, `statement_timeout`); `synchronous_commit = off` is turned on for it. A COMMIT whose reply is lost
    /// is yours to resolve: look for one of the event ids.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the log's lock could not be had, or, above `READ COMMITTED`, when others have appended since
    /// the transaction began: roll back and run it again. [`StoreError::Unusable`] when the transaction is on another
    /// database. [`StoreError::Statement`] when the database refuses an event.
    ///
    /// # Example
    /// ```no_run
    /// # use factstream_core::store::Append;
    /// use factstream_postgres::{AppendedIn, PostgresStore, tokio_postgres};
    ///
    /// # async fn example(client: &mut tokio_postgres::Client, store: &PostgresStore, appends: Vec<Append>)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let transaction = client.transaction().await?;
    /// transaction.execute("INSERT INTO invoices (id, cents) VALUES ($1, $2)", &[&"i-1", &4_200_i64]).await?;
    /// match store.append_in(&transaction, appends).await? {
    ///     AppendedIn::Appended(_) => transaction.commit().await?,
    ///     AppendedIn::Conflict(_) => transaction.rollback().await?, // load, decide and try again
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn append_in(
        &self,
        transaction: &Transaction<'_>,
        appends: Vec<Append>,
    ) -> Result<AppendedIn, StoreError> {
        if appends.is_empty() {
            return Ok(AppendedIn::Appended(Vec::new()));
        }
        let shared = self.shared();
        recordable::check(&appends, shared.event_bytes_max)?;
        let failed = |error: Error| of_append(None, &error);
        transaction.batch_execute("SAVEPOINT fs_append").await.map_err(failed)?;
        let undo = "ROLLBACK TO SAVEPOINT fs_append; RELEASE SAVEPOINT fs_append";
        match place(shared, transaction, &appends).await {
            Ok(Ok(placed)) => {
                transaction.batch_execute("RELEASE SAVEPOINT fs_append").await.map_err(failed)?;
                Ok(AppendedIn::Appended(placed.appended))
            }
            Ok(Err(refused)) => {
                transaction.batch_execute(undo).await.map_err(failed)?;
                match refused {
                    Outcome::Conflict(conflict) => Ok(AppendedIn::Conflict(conflict)),
                    other => Err(StoreError::Engine(format!("an append without a key came to {other:?}"))),
                }
            }
            Err(error) => {
                // When the connection is lost the transaction is, too, and the first error tells more.
                let _ = transaction.batch_execute(undo).await;
                Err(error)
            }
        }
    }
}

async fn place(
    shared: &Shared,
    transaction: &Transaction<'_>,
    appends: &[Append],
) -> Result<Result<Placed, Outcome>, StoreError> {
    let failed = |error: Error| of_append(None, &error);
    let row = transaction.query_one(IDENTITY, &[]).await.map_err(failed)?;
    let found = Identity::read(&row);
    if found != shared.identity {
        return Err(StoreError::Unusable {
            what: shared.server.place.clone(),
            reason: format!(
                "the transaction is on the database {}, or its search_path finds another log or none; begin it on a \
                 connection with the store's own URL",
                found.database
            ),
        });
    }
    let statements = Statements::fresh(transaction).await.map_err(failed)?;
    // Always announced: the commit is not seen here, so that it cannot be done later.
    let announce = || shared.announcements.are_on();
    append_within(transaction, &statements, appends, announce).await.map_err(failed)
}
