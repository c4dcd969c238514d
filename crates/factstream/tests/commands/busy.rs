//! Many callers on one aggregate: those of one process queue, each with its own outcome.

use crate::common::{Do, Order, OrderEvent, Refused, Shop};
use factstream::{Aggregate, App, Command, Error, ExecuteError};
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

async fn all<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_256_callers_of_one_aggregate_all_succeed_each_with_a_version_of_its_own() {
    let shop = Shop::new();
    let app = shop.open().await;
    let mut tasks = JoinSet::new();
    for n in 0..256_u32 {
        let app = app.clone();
        tasks.spawn(async move {
            let execute = app.execute("o-1", Do::Note(n.to_string()));
            // Some with a key of their own.
            let execute = if n % 4 == 0 { execute.key(format!("k-{n}")) } else { execute };
            (n, execute.await)
        });
    }
    let outcomes = all(tasks).await;
    let events = app.events::<Order>("o-1", 0, 1_000).await.unwrap();
    let mut versions = BTreeSet::new();
    for (n, outcome) in outcomes {
        let executed = outcome.unwrap();
        let event = &events[executed.version as usize - 1];
        assert_eq!(executed.events, [OrderEvent::Noted { text: n.to_string() }]);
        assert_eq!(event.data, format!(r#"{{"text":"{n}"}}"#), "the version is that of its own event");
        assert_eq!(event.position, executed.position);
        versions.insert(executed.version);
    }
    assert_eq!(versions, (1..=256).collect());
    let commands: BTreeSet<_> = events.iter().map(|event| event.envelope().unwrap().causation_id).collect();
    assert_eq!(commands.len(), 256, "each command is the cause of its own event");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_a_panic_and_what_cannot_be_stored_touch_no_neighbour_in_the_queue() {
    let shop = Shop::new();
    let app = shop.builder().event_bytes_max(10_000).open().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let app = app.clone();
        tasks.spawn(async move {
            match n % 5 {
                0 => matches!(app.execute("o-1", Do::Create(2)).await, Err(ExecuteError::Rejected(_))),
                1 => matches!(
                    app.execute("o-1", Do::Note("x".repeat(20_000))).await,
                    Err(ExecuteError::Failed(Error::Store(_)))
                ),
                2 => tokio::spawn(async move { app.execute("o-1", Panics).await }).await.is_err(),
                3 => app.execute("o-1", Do::Nothing).await.unwrap().events.is_empty(),
                _ => app.execute("o-1", Do::Note("good".into())).await.is_ok(),
            }
        });
    }
    assert!(all(tasks).await.into_iter().all(|as_expected| as_expected));
    let (order, version) = app.load::<Order>("o-1").await.unwrap();
    assert_eq!((order.notes.len(), version), (20, 21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_used_by_many_callers_at_once_takes_effect_once() {
    let shop = Shop::new();
    let app = shop.open().await;
    let mut tasks = JoinSet::new();
    for _ in 0..32 {
        let app = app.clone();
        tasks.spawn(async move { app.execute("o-1", Do::Create(1)).key("k").await.unwrap() });
    }
    let outcomes = all(tasks).await;
    assert_eq!(outcomes.iter().filter(|executed| !executed.repeated).count(), 1);
    assert!(outcomes.iter().all(|executed| (executed.version, executed.position) == (1, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_processes_commands_meet_and_all_take_effect() {
    let shop = Shop::new();
    let (one, other) = (shop.open().await, shop.open().await);
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let app = if n % 2 == 0 { one.clone() } else { other.clone() };
        tasks.spawn(async move { app.execute("o-1", Do::Note("n".into())).await.map(|done| done.version) });
    }
    let outcomes = all(tasks).await;
    let versions: BTreeSet<u64> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    let (order, version) = one.load::<Order>("o-1").await.unwrap();
    assert_eq!(versions, (1..=version).collect(), "no version is told to two callers");
    assert_eq!(order.notes.len() as u64, version);
    assert!(version >= 190, "only {version} of 200 took effect: {outcomes:?}");
}

/// Decides when it is told to.
#[derive(Clone, Default)]
struct Gate {
    state: Arc<(Mutex<(bool, bool)>, Condvar)>,
}

impl Gate {
    fn open(&self) {
        self.state.0.lock().unwrap().1 = true;
        self.state.1.notify_all();
    }

    /// Waits until somebody is in `decide`.
    async fn reached(&self) {
        crate::common::eventually("the gate is reached", || async { self.state.0.lock().unwrap().0 }).await;
    }
}

struct Gated(Gate);

impl Command<Order> for Gated {
    type Error = Refused;

    fn decide(&self, _: &Order) -> Result<Vec<OrderEvent>, Refused> {
        let mut state = self.0.state.0.lock().unwrap();
        state.0 = true;
        self.0.state.1.notify_all();
        // The runtime goes on without this thread.
        tokio::task::block_in_place(|| {
            while !state.1 {
                state = self.0.state.1.wait(state).unwrap();
            }
        });
        Ok(vec![OrderEvent::Noted { text: "gated".into() }])
    }
}

struct Panics;

impl Command<Order> for Panics {
    type Error = Refused;

    fn decide(&self, _: &Order) -> Result<Vec<OrderEvent>, Refused> {
        std::panic::resume_unwind(Box::new("told to"))
    }
}

/// Holds the stream until the gate opens: by a caller that has waited for it, for such a one is not overtaken.
async fn hold(app: &App) -> (Gate, tokio::task::JoinHandle<()>) {
    let hold = |gate: Gate| {
        let app = app.clone();
        tokio::spawn(async move { drop(app.execute("o-1", Gated(gate)).await.unwrap()) })
    };
    let (overtaken, gate) = (Gate::default(), Gate::default());
    let first = hold(overtaken.clone());
    overtaken.reached().await;
    let holder = hold(gate.clone());
    gate.reached().await;
    overtaken.open();
    first.await.unwrap();
    (gate, holder)
}

fn busy(outcome: Result<factstream::Executed<OrderEvent>, ExecuteError<Refused>>) -> String {
    match outcome {
        Err(ExecuteError::Failed(error @ Error::StreamBusy { .. })) => error.to_string(),
        other => panic!("not busy: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_refuses_and_a_caller_that_left_makes_room() {
    let shop = Shop::new();
    let app = shop.builder().command_queue(2, Duration::from_secs(20)).open().await.unwrap();
    let (gate, holder) = hold(&app).await;
    let note = |text: &str| app.execute("o-1", Do::Note(text.into())).into_future();
    // Polled once, they have their places.
    let (mut first, mut left) = (note("first"), note("left"));
    assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut left).is_pending());
    let full = busy(note("too many").await);
    assert!(full.contains("order/o-1") && full.contains("2 callers wait"), "{full}");
    app.execute("o-2", Do::Note("another stream".into())).await.unwrap();
    drop(left);
    let mut last = note("last");
    assert!(futures_util::poll!(&mut last).is_pending());
    busy(note("too many").await);
    gate.open();
    holder.await.unwrap();
    first.await.unwrap();
    last.await.unwrap();
    let (order, _) = app.load::<Order>("o-1").await.unwrap();
    assert_eq!(order.notes, ["gated", "gated", "first", "last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_turn_that_does_not_come_in_time_is_told_and_nothing_is_stored() {
    let shop = Shop::new();
    let app = shop.builder().command_queue(10, Duration::from_millis(50)).open().await.unwrap();
    let (gate, holder) = hold(&app).await;
    let late = app.execute("o-1", Do::Note("late".into())).await;
    assert!(busy(late).contains("within 50ms"));
    gate.open();
    holder.await.unwrap();
    let (order, _) = app.load::<Order>("o-1").await.unwrap();
    assert!(order.notes.iter().all(|note| note == "gated"), "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_dropped_or_never_polled_again_does_not_keep_others_waiting() {
    let shop = Shop::new();
    let app = shop.open().await;
    let note = |text: &str| app.execute("o-1", Do::Note(text.into())).into_future();
    // Polled once, it has the turn.
    let mut forgotten = note("forgotten");
    let polled = futures_util::poll!(&mut forgotten);
    assert!(polled.is_pending());
    let began = Instant::now();
    note("next").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "it waited for one that nobody polls");
    let mut dropped = note("dropped");
    assert!(futures_util::poll!(&mut dropped).is_pending());
    drop(dropped);
    let began = Instant::now();
    note("after").await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "it waited for one that is gone");
    drop(forgotten);
    note("last").await.unwrap();
}

#[derive(Default, Clone)]
struct Tally(u64);

impl Aggregate for Tally {
    const TYPE: &'static str = "tally";
    type Event = OrderEvent;

    fn apply(&mut self, _: &OrderEvent) {
        self.0 += 1;
    }
}

struct Count;

impl Command<Tally> for Count {
    type Error = Refused;

    fn decide(&self, tally: &Tally) -> Result<Vec<OrderEvent>, Refused> {
        Ok(vec![OrderEvent::Noted { text: tally.0.to_string() }])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_one_aggregate_cost_no_more_than_as_many_appends_in_sequence() {
    let shop = Shop::new();
    let app = shop.open().await;
    let began = Instant::now();
    for _ in 0..200 {
        app.execute("sequence", Count).await.unwrap();
    }
    let in_sequence = began.elapsed() * 5;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let app = app.clone();
        tasks.spawn(async move { app.execute("together", Count).await.unwrap().version });
    }
    let versions: BTreeSet<u64> = all(tasks).await.into_iter().collect();
    let together = began.elapsed();
    println!("1,000 in sequence {in_sequence:?}, at once {together:?}");
    assert_eq!(versions, (1..=1_000).collect());
    assert!(together < in_sequence.mul_f64(1.3), "{together:?} for what takes {in_sequence:?} in sequence");
    let events = app.events::<Tally>("together", 0, 2_000).await.unwrap();
    for (event, before) in events.iter().zip(0..) {
        assert_eq!(event.data, format!(r#"{{"text":"{before}"}}"#), "each is decided on all before it");
    }
}
