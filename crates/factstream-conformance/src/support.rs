//! What the checks are written with: builders of events and streams, calls that must succeed, waits with a deadline.
//!
//! Invariant: nothing here waits without a deadline, and whatever fails says what was being done.

use factstream_core::envelope::{NewEvent, Position, RecordedEvent, StreamId, Version};
use factstream_core::sql::{FromValue, Params, now};
use factstream_core::store::{Append, Appended, CommandKey, Commit, Expected, Outcome, Store, Transaction};
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How long a condition may take to come true before a check fails.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// How long one check may take.
pub const CHECK_LIMIT: Duration = Duration::from_mins(3);
/// How soon news of an append must reach those who wait for it.
pub const NEWS_WITHIN: Duration = Duration::from_secs(1);

/// Runs one check; one that hangs fails.
pub async fn bounded(check: &str, running: impl Future<Output = ()>) {
    let done = timeout(CHECK_LIMIT, running).await;
    assert!(done.is_ok(), "{check}: not done within {CHECK_LIMIT:?}: the engine hangs or is far too slow");
}

/// What `running` gives, which must come within [`DEADLINE`].
pub async fn soon<T>(what: &str, running: impl Future<Output = T>) -> T {
    let done = timeout(DEADLINE, running).await;
    done.unwrap_or_else(|_| panic!("{what}: not done within {DEADLINE:?}"))
}

/// Asks again and again until the answer is `Some`, at most for [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not so within {DEADLINE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Runs all at the same time, each in a task of its own; their answers in the given order.
pub async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().collect();
    let start = Arc::new(Barrier::new(tasks.len()));
    let spawn = |task| {
        let start = start.clone();
        tokio::spawn(async move {
            start.wait().await;
            Box::pin(task).await
        })
    };
    let running: Vec<_> = tasks.into_iter().map(spawn).collect();
    let mut answers = Vec::with_capacity(running.len());
    for task in running {
        answers.push(joined(task).await);
    }
    answers
}

/// What a task gives; its panic goes on here.
pub async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The stream of the aggregate `id`.
pub fn stream(id: impl AsRef<str>) -> StreamId {
    StreamId::new("conformance", id).expect("the checks' ids are valid")
}

/// An event with this data.
pub fn event(data: impl Into<String>) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "Happened".into(),
        schema_version: 1,
        data: data.into().into(),
        metadata: r#"{"source":"conformance"}"#.into(),
        timestamp: now(),
    }
}

/// So many events, numbered from 1.
pub fn events(count: usize) -> Vec<NewEvent> {
    (1..=count).map(|number| event(format!(r#"{{"number":{number}}}"#))).collect()
}

/// An append of these events.
pub fn appending(stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Append {
    Append { stream: stream.clone(), expected, events }
}

/// An append of one event to the stream of the aggregate `id`.
pub fn appending_one(id: &str, expected: Expected) -> Append {
    appending(&stream(id), expected, events(1))
}

/// A key for the command `fingerprint`.
pub fn key(key: &str, fingerprint: &str) -> CommandKey {
    CommandKey::new(key, fingerprint).expect("the checks' keys are valid")
}

/// Appends; the engine must answer.
pub async fn append(
    store: &dyn Store,
    stream: &StreamId,
    expected: Expected,
    events: Vec<NewEvent>,
) -> Outcome {
    submit(store, appending(stream, expected, events), None).await
}

/// Appends, perhaps with a key; the engine must answer.
pub async fn submit(store: &dyn Store, append: Append, key: Option<CommandKey>) -> Outcome {
    let what = format!("{} events to {} at {:?}", append.events.len(), append.stream, append.expected);
    let answer = soon(&what, store.append(append, key)).await;
    answer.unwrap_or_else(|error| panic!("the engine fails to append {what}: {error}"))
}

/// Appends so many events, whatever the version; they must land.
pub async fn land(store: &dyn Store, stream: &StreamId, count: usize) -> Appended {
    land_these(store, stream, events(count)).await
}

/// Appends these events, whatever the version; they must land.
pub async fn land_these(store: &dyn Store, stream: &StreamId, events: Vec<NewEvent>) -> Appended {
    landed(append(store, stream, Expected::Any, events).await)
}

/// The outcome of an append that must have landed.
pub fn landed(outcome: Outcome) -> Appended {
    match outcome {
        Outcome::Appended(appended) => appended,
        other => panic!("an append that nothing stands against must land, but became {other:?}"),
    }
}

/// Begins a transaction.
pub async fn begin(store: &dyn Store) -> Box<dyn Transaction> {
    soon("begin", store.begin())
        .await
        .unwrap_or_else(|error| panic!("the engine cannot begin a transaction: {error}"))
}

/// Runs a statement in a transaction; it must be accepted.
pub async fn execute(tx: &mut dyn Transaction, sql: &str, params: Params) -> u64 {
    soon(sql, tx.execute(sql, params)).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Commits; the engine must answer.
pub async fn commit(tx: Box<dyn Transaction>, appends: Vec<Append>) -> Commit {
    soon("commit", tx.commit(appends))
        .await
        .unwrap_or_else(|error| panic!("the engine fails to commit: {error}"))
}

/// Commits a transaction that nothing stands against.
pub async fn committed(tx: Box<dyn Transaction>, appends: Vec<Append>) -> Vec<Appended> {
    match commit(tx, appends).await {
        Commit::Committed(appended) => appended,
        Commit::Conflict(conflict) => {
            panic!("a commit that nothing stands against met a conflict: {conflict}")
        }
    }
}

/// Runs one statement in a transaction of its own.
pub async fn run(store: &dyn Store, sql: &str, params: Params) -> u64 {
    let mut tx = begin(store).await;
    let touched = execute(tx.as_mut(), sql, params).await;
    committed(tx, vec![]).await;
    touched
}

/// The first column of every row.
pub async fn column<T: FromValue>(store: &dyn Store, sql: &str, params: Params) -> Vec<T> {
    let rows = soon(sql, store.query(sql, params)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.at(0).unwrap_or_else(|error| panic!("{sql}: {error}"))).collect()
}

/// As [`column()`], within a transaction.
pub async fn column_in<T: FromValue>(tx: &mut dyn Transaction, sql: &str, params: Params) -> Vec<T> {
    let rows = soon(sql, tx.query(sql, params)).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.at(0).unwrap_or_else(|error| panic!("{sql}: {error}"))).collect()
}

/// How many rows a table has.
pub async fn count(store: &dyn Store, table: &str) -> u64 {
    one(table, &column(store, &format!("SELECT count(*) FROM {table}"), vec![]).await)
}

/// The only one of these.
pub fn one<T: Clone + Debug>(what: &str, all: &[T]) -> T {
    assert_eq!(all.len(), 1, "{what}: one row is expected, found {all:?}");
    all[0].clone()
}

/// A page of the log.
pub async fn log_page(store: &dyn Store, after: Position, limit: usize) -> Vec<RecordedEvent> {
    let page = soon("read_log", store.read_log(after, limit)).await;
    page.unwrap_or_else(|error| panic!("read_log({after}, {limit}) fails: {error}"))
}

/// The whole log, page by page.
pub async fn log(store: &dyn Store) -> Vec<RecordedEvent> {
    let mut log: Vec<RecordedEvent> = Vec::new();
    loop {
        let page = log_page(store, log.last().map_or(0, |event| event.position), 500).await;
        if page.is_empty() {
            return log;
        }
        log.extend(page);
    }
}

/// A page of a stream.
pub async fn stream_page(
    store: &dyn Store,
    stream: &StreamId,
    after: Version,
    limit: usize,
) -> Vec<RecordedEvent> {
    let page = soon("read_stream", store.read_stream(stream, after, limit)).await;
    page.unwrap_or_else(|error| panic!("read_stream({stream}, {after}, {limit}) fails: {error}"))
}

/// All events of a stream.
pub async fn history(store: &dyn Store, stream: &StreamId) -> Vec<RecordedEvent> {
    let mut history: Vec<RecordedEvent> = Vec::new();
    loop {
        let page = stream_page(store, stream, history.last().map_or(0, |event| event.version), 500).await;
        if page.is_empty() {
            return history;
        }
        history.extend(page);
    }
}

/// The head of the log, now.
pub async fn head(store: &dyn Store) -> Position {
    let head = soon("wait_beyond", store.wait_beyond(0, Duration::ZERO)).await;
    head.unwrap_or_else(|error| panic!("wait_beyond(0, 0 s) fails: {error}"))
}

/// The log of a store from which nothing was deleted: positions and versions without gaps, no event twice (G3).
pub fn assert_sound(log: &[RecordedEvent]) {
    let mut versions: HashMap<StreamId, Version> = HashMap::new();
    let mut ids = HashSet::new();
    for (position, event) in (1..).zip(log) {
        assert_eq!(event.position, position, "G3 is broken: a gap or a repeat in the log's positions");
        let version = versions.entry(event.stream()).or_default();
        *version += 1;
        let stream = event.stream();
        assert_eq!(event.version, *version, "G3 is broken: {stream} has a gap or a repeat in its versions");
        assert!(ids.insert(event.event_id), "G1 is broken: event {} is stored twice", event.event_id);
    }
}

/// The ids of stored events.
pub fn ids(events: &[RecordedEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.event_id).collect()
}

/// The ids of new events.
pub fn new_ids(events: &[NewEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.event_id).collect()
}
