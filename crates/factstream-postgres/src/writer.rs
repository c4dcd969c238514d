//! The writer task: appends that wait together become a group, and groups follow each other without a pause.
//!
//! A group goes to the server in one statement (`optimistic`). What that does not take, and all of a group that it refuses, is
//! decided under the lock (`locking`), which alone tells a caller of a conflict.
//!
//! Invariants: an append is answered after its commit, never before (G1), and is handed on at most once. Appends of one caller follow each
//! other, for each is answered before the next; between callers there is no order to keep. A group whose connection was lost is
//! asked for, not guessed about.

use crate::error::of_append;
use crate::lost_commit;
use crate::optimistic::{Assumed, Optimistic};
use crate::options::Options;
use crate::pending::{Attempted, PendingAppend};
use crate::pool::{IDLE_MAX, Pool};
use crate::shared::Shared;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::{Outcome, StoreError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

/// How many groups may be on their way at once: one that the server works on, and one for it to go on with.
const GROUPS_MAX: usize = 2;
/// Fewer appends are not worth a commit of their own while another is on its way. Nor are fewer than that has: a commit costs as much
/// as ten appends, so the groups are to be equal in size.
const WORTH_A_COMMIT: usize = 16;

/// How long appends go the longer way after a connection for them was refused.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Writer {
    means: Arc<Means>,
    options: Options,
    connection: Option<Arc<Optimistic>>,
    /// When the connection was last used, and when the last one was refused.
    used: Instant,
    refused: Option<Instant>,
}

/// What a group on its way needs beside its connection.
struct Means {
    shared: Arc<Shared>,
    /// Where a lost commit is asked for.
    pool: Pool,
    locking: mpsc::Sender<PendingAppend>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: Options,
        pool: Pool,
        locking: mpsc::Sender<PendingAppend>,
    ) -> Self {
        Self {
            means: Arc::new(Means { shared, pool, locking }),
            options,
            connection: None,
            used: Instant::now(),
            refused: None,
        }
    }

    /// Works until every handle of the store is gone and everything that was accepted is answered or handed on.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<PendingAppend>) {
        let max = self.options.append_batch_max.max(1);
        let mut waiting = Vec::new();
        let mut on_their_way = FuturesUnordered::new();
        let (mut is_open, mut sent) = (true, 0);
        while is_open || !on_their_way.is_empty() {
            let room = max - waiting.len();
            tokio::select! {
                biased;
                Some(size) = on_their_way.next() => sent -= size,
                received = queue.recv_many(&mut waiting, room), if is_open && room > 0 => is_open = received > 0,
            }
            let is_due = match on_their_way.len() {
                0 => !waiting.is_empty(),
                groups => {
                    groups < GROUPS_MAX && waiting.len() >= sent.max(WORTH_A_COMMIT) && self.is_connected()
                }
            };
            if is_due && let Some((connection, group)) = self.group(&mut waiting).await {
                sent += group.len();
                on_their_way.push(Arc::clone(&self.means).commit(connection, group));
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    /// Whether the connection answers, should it have been idle: nothing is on its way then.
    async fn is_alive(&mut self) -> bool {
        let idle = self.used.elapsed() > IDLE_MAX;
        self.used = Instant::now();
        match &self.connection {
            Some(connection) if idle => connection.is_alive().await,
            connection => connection.is_some(),
        }
    }

    async fn connect(&mut self) {
        self.connection = None;
        if self.refused.is_some_and(|at| at.elapsed() < CONNECT_PAUSE) {
            return;
        }
        let connected = Optimistic::connect(&self.means.shared, &self.options).await;
        let connected = connected.inspect_err(|error| tracing::debug!(%error, "no connection for appends"));
        self.refused = connected.is_err().then(Instant::now);
        self.connection = connected.ok().map(Arc::new);
    }

    /// The group that the waiting appends make, and its connection; nothing when all of them were handed on. Nothing is on its
    /// way when it has to connect.
    async fn group(&mut self, waiting: &mut Vec<PendingAppend>) -> Option<(Arc<Optimistic>, Vec<Attempted>)> {
        let shared = &self.means.shared;
        let (mut group, mut others) = (Vec::with_capacity(waiting.len()), Vec::new());
        for pending in waiting.drain(..) {
            let goes_ahead = self.options.append_ahead && !is_sabotaged();
            match shared.knowledge.reached.take_further(&pending.append).filter(|_| goes_ahead) {
                Some(version) => group.push((pending, version)),
                None => others.push(pending),
            }
        }
        self.means.hand_on(others).await;
        if group.is_empty() {
            return None;
        }
        if !self.is_connected() || !self.is_alive().await {
            self.connect().await;
        }
        let group = self.means.of_this_history(group);
        if group.is_empty() {
            return None;
        }
        let Some(connection) = &self.connection else {
            // There the error is told, should it last.
            self.means.hand_on(group.into_iter().map(|(pending, _)| pending)).await;
            return None;
        };
        Some((Arc::clone(connection), group))
    }
}

impl Means {
    /// Those that were decided on the log as it is; others are answered. Asked once there is a connection, for that tells.
    fn of_this_history(&self, group: Vec<Attempted>) -> Vec<Attempted> {
        let history = self.shared.knowledge.history();
        let (group, others): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|(pending, _): &Attempted| pending.history == history);
        for (pending, _) in others {
            pending.refuse_history();
        }
        group
    }

    /// Commits a group, hands on what is refused, and tells how many appends are not on their way any more.
    async fn commit(self: Arc<Self>, connection: Arc<Optimistic>, group: Vec<Attempted>) -> usize {
        let answer = self.attempt(&connection, &group).await;
        drop(connection);
        let size = group.len();
        let group = group.into_iter().map(|(pending, _)| pending);
        match answer {
            Answer::Committed(outcomes) => {
                for (pending, outcome) in group.zip(outcomes) {
                    match outcome {
                        Some(outcome) => drop(pending.reply.send(Ok(outcome))),
                        None => self.hand_on([pending]).await,
                    }
                }
            }
            Answer::Refused => self.hand_on(group).await,
            Answer::Failed(failure) => {
                for pending in group {
                    let _ = pending.reply.send(Err(failure.clone()));
                }
            }
        }
        size
    }

    async fn attempt(&self, connection: &Optimistic, group: &[Attempted]) -> Answer {
        let shared = &self.shared;
        let assumed = Assumed::new(group);
        let Some(mark) = assumed.mark() else { return Answer::Refused };
        let announced = shared.announcements.take();
        let unreplicated = connection.unreplicated();
        let committed = connection.commit(&assumed, shared.knowledge.fence.known(), announced).await;
        let is_in_doubt = match &committed {
            Ok(_) => connection.unreplicated() != unreplicated,
            Err(error) => may_be_committed(error),
        };
        let head = match committed {
            Ok(Some(_)) | Err(_) if is_in_doubt => match lost_commit::ask(&self.pool, shared, &mark).await {
                Ok(position) => assumed.head(position),
                Err(failure) => return Answer::Failed(failure),
            },
            Ok(Some(head)) => head,
            Err(error) if has_waited_too_long(&error) => {
                return Answer::Failed(of_append(Some(shared.lock_timeout), &error));
            }
            Ok(None) | Err(_) => {
                shared.knowledge.reached.forget(group.iter().map(|(pending, _)| &pending.append.stream));
                return Answer::Refused;
            }
        };
        shared.committed(head, announced);
        Answer::Committed(assumed.outcomes(head).collect())
    }

    async fn hand_on(&self, pending: impl IntoIterator<Item = PendingAppend>) {
        for pending in pending {
            if let Err(refused) = self.locking.send(pending).await {
                let _ = refused.0.reply.send(Err(StoreError::Closed));
            }
        }
    }
}

/// What becomes of a group.
enum Answer {
    /// What came of each; nothing for those that were not tried.
    Committed(Vec<Option<Outcome>>),
    /// Nothing is stored. One of them broke it, or a stream was elsewhere: under the lock it is found out which.
    Refused,
    Failed(StoreError),
}

/// The positions of a sabotaged store do not come from the counter.
fn is_sabotaged() -> bool {
    is_on(Sabotage::PositionFromSequence)
}

/// The connection went away, or the server ended it, which it also does right after a commit.
fn may_be_committed(error: &Error) -> bool {
    let is_last_word = |severity: Severity| matches!(severity, Severity::Fatal | Severity::Panic);
    error.as_db_error().is_none_or(|db| {
        db.parsed_severity().is_some_and(is_last_word)
            || ["57P", "08"].iter().any(|class| db.code().code().starts_with(class))
    })
}

/// Others would wait as long.
fn has_waited_too_long(error: &Error) -> bool {
    matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED))
}
