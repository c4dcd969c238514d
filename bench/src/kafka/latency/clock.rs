//! Commands at a fixed rate, and a watcher that sees when their rows are there.

use crate::Failed;
use crate::figures::{Figures, Times};
use crate::postgres::connect;
use crate::workload::Ids;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The rows that are looked for.
pub(crate) const TABLE: &str =
    "CREATE TABLE seen_orders (order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL)";
const LOOK_FOR: &str = "SELECT order_id FROM seen_orders WHERE order_id = ANY($1)";
/// 100 commands a second.
const BETWEEN: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_micros(500);
/// Commands that are not counted: until everything is connected, and half a second at the full rate.
const WARM_UP: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(60);

/// The commands whose rows are not there yet, and when each was to come.
#[derive(Clone, Default)]
struct Missing(Arc<Mutex<HashMap<String, (Instant, bool)>>>);

impl Missing {
    fn with<R>(&self, what: impl FnOnce(&mut HashMap<String, (Instant, bool)>) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) struct Clock {
    missing: Missing,
    watcher: JoinHandle<Result<Times, Failed>>,
    /// Says that no more commands come.
    last: std::sync::mpsc::Sender<()>,
}

impl Clock {
    /// Starts the watcher of a database in which the table is.
    pub(crate) fn new(database: &str) -> Result<Self, Failed> {
        let missing = Missing::default();
        let (last, ended) = std::sync::mpsc::channel();
        let watcher = std::thread::Builder::new().spawn({
            let (database, missing) = (database.to_owned(), missing.clone());
            move || watch(&database, &missing, &ended)
        })?;
        Ok(Self { missing, watcher, last })
    }

    /// Puts so many commands at the fixed rate, after those to get warm with; `command` gets an id and a number.
    pub(crate) async fn measure<F, Done>(self, commands: u64, command: F) -> Result<Figures, Failed>
    where
        F: Fn(String, u64) -> Done,
        Done: Future<Output = Result<(), Failed>> + Send + 'static,
    {
        let ids = Ids::new();
        let mut under_way = JoinSet::new();
        let mut put = |number: u64, due: Instant| {
            let id = ids.order(number);
            self.missing.with(|missing| missing.insert(id.clone(), (due, number > WARM_UP)));
            under_way.spawn(command(id, number));
        };
        put(0, Instant::now());
        self.wait_until_seen().await?;
        let mut ticks = tick(commands + WARM_UP)?;
        while let Some((number, due)) = ticks.recv().await {
            put(number, due);
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        self.wait_until_seen().await?;
        drop(self.last);
        let times = self.watcher.join().map_err(|_| "the watcher panicked")??;
        Ok(Figures::times(&times))
    }

    async fn wait_until_seen(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        while !self.missing.with(|missing| missing.is_empty()) {
            if Instant::now() > deadline || self.watcher.is_finished() {
                return Err("a row does not come".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Numbers from 1, each at its time. A thread's sleep is finer than the runtime's clock, which counts whole milliseconds.
fn tick(count: u64) -> Result<mpsc::UnboundedReceiver<(u64, Instant)>, Failed> {
    let (ticks, received) = mpsc::unbounded_channel();
    std::thread::Builder::new().spawn(move || {
        let mut due = Instant::now();
        for number in 1..=count {
            due += BETWEEN;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if ticks.send((number, due)).is_err() {
                break;
            }
        }
    })?;
    Ok(received)
}

fn watch(database: &str, missing: &Missing, ended: &std::sync::mpsc::Receiver<()>) -> Result<Times, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(connect(database))?;
    let look_for = runtime.block_on(client.prepare(LOOK_FOR))?;
    let mut times = Times::new();
    while ended.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
        let ids: Vec<String> = missing.with(|missing| missing.keys().cloned().collect());
        if !ids.is_empty() {
            let rows = runtime.block_on(client.query(&look_for, &[&ids]))?;
            let seen = Instant::now();
            for row in rows {
                let was_missing = missing.with(|missing| missing.remove(row.get::<_, &str>(0)));
                if let Some((due, true)) = was_missing {
                    times.record(seen.saturating_duration_since(due));
                }
            }
        }
        std::thread::sleep(LOOK);
    }
    Ok(times)
}
