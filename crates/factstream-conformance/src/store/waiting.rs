//! Waiting for news: those who wait for the log to grow are woken soon, wherever it was written.

use crate::StoreUnderTest;
use crate::support::{
    NEWS_WITHIN, appending, begin, committed, events, execute, joined, land, run, soon, stream,
};
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::store::{Expected, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long those wait who are to be woken.
const WAIT: Duration = Duration::from_secs(25);

/// The head, and when it was told.
async fn wait(store: &dyn Store, after: Position, time: Duration) -> (Position, Instant) {
    let head = soon("wait_beyond", store.wait_beyond(after, time)).await;
    (head.unwrap_or_else(|error| panic!("wait_beyond({after}, {time:?}) fails: {error}")), Instant::now())
}

/// So many that wait for news after a position, and are waiting already.
async fn waiters(
    store: &Arc<dyn Store>,
    after: Position,
    count: usize,
) -> Vec<JoinHandle<(Position, Instant)>> {
    let spawn = |_| {
        let store = store.clone();
        tokio::spawn(async move { wait(&*store, after, WAIT).await })
    };
    let waiting = (0..count).map(spawn).collect();
    // A wait that ends proves that those before it were polled and have had the time to settle.
    wait(&**store, after, Duration::from_millis(300)).await;
    waiting
}

async fn assert_woken(waiting: Vec<JoinHandle<(Position, Instant)>>, acknowledged: Instant, head: Position) {
    for waiter in waiting {
        let (told, at) = joined(waiter).await;
        assert!(told >= head, "a waiter was told head {told}, when {head} was acknowledged");
        let late = at.saturating_duration_since(acknowledged);
        assert!(
            late < NEWS_WITHIN,
            "news reached a waiter {late:?} after the append; {NEWS_WITHIN:?} are allowed"
        );
    }
}

/// When there is news already, nobody waits.
pub async fn news_that_is_there_is_told_at_once(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    land(&*store, &stream("own"), 3).await;
    for after in 0..3 {
        for time in [Duration::ZERO, WAIT, Duration::MAX] {
            let start = Instant::now();
            let (head, at) = wait(&*store, after, time).await;
            assert_eq!(head, 3, "wait_beyond({after}) tells another head");
            assert!(
                at - start < NEWS_WITHIN,
                "wait_beyond({after}) waited {:?} though the head is at 3",
                at - start
            );
        }
    }
}

/// An append in the same handle wakes all who wait.
pub async fn an_append_wakes_those_who_wait(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    for round in 0..3 {
        let waiting = waiters(&store, round, 50).await;
        let head = land(&*store, &stream("own"), 1).await.position;
        assert_woken(waiting, Instant::now(), head).await;
    }
}

/// So does a transaction with events.
pub async fn a_commit_wakes_those_who_wait(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let waiting = waiters(&store, 0, 10).await;
    let appended =
        committed(begin(&*store).await, vec![appending(&stream("own"), Expected::Any, events(2))]).await;
    assert_woken(waiting, Instant::now(), appended[0].position).await;
}

/// So does another process.
pub async fn an_append_by_another_handle_wakes_those_who_wait(under_test: &dyn StoreUnderTest) {
    let (store, other) = (under_test.open().await, under_test.open().await);
    for round in 0..3 {
        let waiting = waiters(&store, round, 10).await;
        let head = land(&*other, &stream("own"), 1).await.position;
        assert_woken(waiting, Instant::now(), head).await;
    }
}

/// Without news the wait lasts as long as it was asked to, not less and not much more, and tells the head.
pub async fn without_news_the_wait_ends_with_its_time(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    run(&*store, "CREATE TABLE notes (id BIGINT)", params![]).await;
    let time = Duration::from_millis(400);
    for (after, head) in [(0, 0), (5, 0), (3, 3), (100, 3), (u64::MAX, 3)] {
        if head > 0 && wait(&*store, 0, Duration::ZERO).await.0 == 0 {
            land(&*store, &stream("own"), 3).await;
        }
        let start = Instant::now();
        let quiet = async {
            // No news: nothing that is rolled back, and nothing without events.
            let mut tx = begin(&*store).await;
            execute(tx.as_mut(), "INSERT INTO notes (id) VALUES (1)", params![]).await;
            drop(tx);
            run(&*store, "INSERT INTO notes (id) VALUES (2)", params![]).await;
        };
        let ((told, at), ()) = tokio::join!(wait(&*store, after, time), quiet);
        let waited = at - start;
        assert_eq!(told, head, "wait_beyond({after}) tells another head when its time is over");
        assert!(
            waited >= Duration::from_millis(390),
            "wait_beyond({after}, {time:?}) ended after {waited:?} without news"
        );
        assert!(waited < time + NEWS_WITHIN, "wait_beyond({after}, {time:?}) ended only after {waited:?}");
    }
}

/// Dropping the wait of one leaves the others waiting, and woken.
pub async fn who_gives_up_waiting_does_not_disturb_the_others(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let mut waiting = waiters(&store, 0, 40).await;
    let given_up = waiting.split_off(20);
    for waiter in given_up {
        waiter.abort();
        let _ = waiter.await;
    }
    let head = land(&*store, &stream("own"), 1).await.position;
    assert_woken(waiting, Instant::now(), head).await;
}

/// The clock goes on, never back, and is the one that the database's own statements go by.
pub async fn its_clock_goes_on_and_is_that_of_its_statements(under_test: &dyn StoreUnderTest) {
    let store = under_test.open().await;
    let clock =
        async || soon("clock", store.clock()).await.unwrap_or_else(|error| panic!("clock fails: {error}"));
    let before = clock().await;
    let sql = "SELECT substr(CAST(CURRENT_TIMESTAMP AS TEXT), 1, 19) AS at";
    let rows = soon("query", store.query(sql, params![])).await.unwrap_or_else(|error| panic!("{error}"));
    let said: String = rows[0].get("at").unwrap_or_else(|error| panic!("{error}"));
    let after = clock().await;
    let second = |at: jiff::Timestamp| at.to_string()[..19].replace('T', " ");
    assert!(second(before) <= said && said <= second(after), "{before} <= {said} <= {after}");
    assert!(before < after, "the clock stands still at {before}");
    assert_eq!(before.subsec_nanosecond() % 1_000, 0, "times are kept to the microsecond");
}
