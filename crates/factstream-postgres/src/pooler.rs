//! Poolers that give each transaction another session are found when the store is opened, and refused.

use crate::connect::Server;
use crate::error::of_statement;
use crate::session::Session;
use crate::settings::TRANSACTION_POOLING;
use factstream_core::store::StoreError;
use tokio_postgres::SimpleQueryMessage;

/// Refuses where the two connections do not have a session each that stays.
///
/// Both exist at once, so they are two processes of the server, the whole time, unless one is lent to whoever has a transaction.
/// While one connection is within a transaction its session is taken, so the other is given what else there is.
pub(crate) async fn refuse_transactions(
    server: &Server,
    one: &Session,
    other: &Session,
) -> Result<(), StoreError> {
    let failed = |error: tokio_postgres::Error| of_statement("BEGIN", &error);
    let refuse =
        || Err(StoreError::Unusable { what: server.place.clone(), reason: TRANSACTION_POOLING.to_owned() });
    // Statement pooling has no transactions of more than one statement.
    match one.batch_execute("BEGIN").await {
        Ok(()) => {}
        // The pooler says so and may close the connection at once; a server that shuts down says that instead.
        Err(error) if error.as_db_error().is_some_and(|said| !said.code().code().starts_with("57")) => {
            return refuse();
        }
        Err(_) if !one.is_closed() => return refuse(),
        Err(error) => return Err(failed(error)),
    }
    let found = (backend(one).await.map_err(failed)?, backend(other).await.map_err(failed)?);
    one.batch_execute("ROLLBACK").await.map_err(failed)?;
    if one.backend == other.backend || found != (one.backend.clone(), other.backend.clone()) {
        return refuse();
    }
    Ok(())
}

async fn backend(session: &Session) -> Result<String, tokio_postgres::Error> {
    let answer = session.simple_query("SELECT pg_backend_pid()").await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or_default().to_owned())
}
