//! The listener: one connection that hears of other processes' commits, as a hint to look sooner than polling would.
//!
//! Invariants: what is told is what the database says, never what a notification says: anybody may send one. A listener
//! that is lost is replaced after a pause; while there is none, who waits looks more often, and never waits for it. Hints
//! that come while one is being followed become one.

use crate::error::of_statement;
use crate::options::Options;
use crate::purpose::Purpose;
use crate::session::Session;
use crate::shared::Shared;
use crate::statements::{CHANNEL, HEAD, NOTIFY};
use factstream_core::envelope::Position;
use factstream_core::store::StoreError;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::{Client, Error};

/// How long is waited before a listener that was lost is replaced.
const PAUSE: Duration = Duration::from_millis(500);
/// How often a connection on which nothing comes is asked whether it is alive, and how long it has to answer.
const PROBE: Duration = Duration::from_secs(30);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Listens until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>, options: Options) {
    loop {
        let lost = listen(&shared, &options).await;
        let was_alive = shared.listening.send_replace(false);
        if was_alive {
            tracing::warn!(error = %lost, "the listener is lost; polling goes on, and it is replaced soon");
        } else {
            tracing::debug!(error = %lost, "no listener");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost; why it was.
async fn listen(shared: &Shared, options: &Options) -> StoreError {
    let hints = watch::Sender::new(0);
    let heard = hints.subscribe();
    let hear = Box::new(move |payload: &str| {
        hints.send_replace(payload.parse().unwrap_or(Position::MAX));
    });
    let client = match Session::open(&shared.server, options, Purpose::Listen, Some(hear)).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    let (follow, announce) = (pin!(follow(shared, &client, heard)), pin!(announce(shared, &client)));
    tokio::select! {
        error = follow => error,
        error = announce => error,
    }
}

/// Looks whenever there is a hint of something newer than what is known.
async fn follow(shared: &Shared, client: &Client, mut heard: watch::Receiver<Position>) -> StoreError {
    let failed = |error: Error| of_statement("LISTEN", &error);
    let begin = async {
        let channel: String = client.query_one(CHANNEL, &[]).await?.get(0);
        client.batch_execute(&format!("LISTEN {channel}")).await?;
        client.prepare(HEAD).await
    };
    let select_head = match begin.await {
        Ok(statement) => statement,
        Err(error) => return failed(error),
    };
    loop {
        let asked = shared.knowledge.before_asking();
        let head = match timeout(ANSWER_MAX, client.query_one(&select_head, &[])).await {
            Ok(Ok(row)) => row.get::<_, i64>(0).cast_unsigned(),
            Ok(Err(error)) => return failed(error),
            Err(_) => return StoreError::Busy(format!("it has not answered for {ANSWER_MAX:?}")),
        };
        shared.knowledge.found(head, asked);
        shared.listening.send_if_modified(|alive| !std::mem::replace(alive, true));
        // Our own commits are hinted at, too; by then they are mostly known.
        while let Ok(changed) = timeout(PROBE, heard.changed()).await {
            if changed.is_err() {
                return StoreError::Busy("the connection was closed".into());
            }
            if *heard.borrow_and_update() > *shared.knowledge.news.borrow() {
                break;
            }
        }
    }
}

/// Announces the commits of this store that no later commit has announced in time.
async fn announce(shared: &Shared, client: &Client) -> StoreError {
    loop {
        if shared.announcements.late().await {
            let head = shared.knowledge.news.borrow().cast_signed();
            if let Err(error) = client.query_one(NOTIFY, &[&head]).await {
                return of_statement("NOTIFY", &error);
            }
        }
    }
}
