//! How fast appends and log reads are here, beside plain rusqlite on the same disk.
//!
//! `cargo run --release -p factstream-sqlite --example append_speed`
//!
//! The ways take turns, round by round, so that whatever else the machine does meets all of them; the median is what to
//! compare, and the range tells how far to trust it.
#![allow(clippy::unwrap_used)]

use factstream_core::envelope::{NewEvent, StreamId};
use factstream_core::sql::now;
use factstream_core::store::{Append, Expected, Store};
use factstream_sqlite::SqliteStore;
use factstream_sqlite::rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(1);
const DATA_BYTES: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // Not the system's own temporary folder: that may be memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = SqliteStore::open(dir.path().join("store.db")).await.unwrap();
    let mut rates: [Vec<f64>; 5] = Default::default();
    for round in 0..ROUNDS {
        rates[0].push(raw(&dir.path().join(format!("raw-1-{round}.db")), 1));
        rates[1].push(appends(&store, 1, round).await);
        rates[2].push(raw(&dir.path().join(format!("raw-100-{round}.db")), 100));
        rates[3].push(appends(&store, 64, round).await);
        rates[4].push(reads(&store).await);
    }
    let names = [
        "rusqlite alone,   1 a commit    inserts/s",
        "store,   1 caller               appends/s",
        "rusqlite alone, 100 a commit    inserts/s",
        "store,  64 callers              appends/s",
        "store, log read, 1000 at once    events/s",
    ];
    for (name, mut rates) in names.into_iter().zip(rates) {
        rates.sort_by(f64::total_cmp);
        println!("{name} {:>10.0}   ({:.0} to {:.0})", rates[ROUNDS / 2], rates[0], rates[ROUNDS - 1]);
    }
}

async fn reads(store: &SqliteStore) -> f64 {
    let (began, mut after) = (Instant::now(), 0);
    while let Some(last) = store.read_log(after, 1_000).await.unwrap().last() {
        after = last.position;
    }
    after as f64 / began.elapsed().as_secs_f64()
}

async fn appends(store: &SqliteStore, callers: usize, round: usize) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = 0u32;
                while began.elapsed() < TIME {
                    let id = format!("{round}-{callers}-{caller}-{}", done / 10);
                    let stream = StreamId::new("bench", id).unwrap();
                    let expected = Expected::Exact(u64::from(done % 10));
                    store.append(Append { stream, expected, events: vec![event()] }, None).await.unwrap();
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn event() -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "Measured".into(),
        schema_version: 1,
        data: format!("{{\"text\":\"{}\"}}", "x".repeat(DATA_BYTES - 11)).into(),
        metadata: "{\"source\":\"bench\"}".into(),
        timestamp: now(),
    }
}

/// The least that any store on SQLite does: the same table and settings, no checks, no threads.
fn raw(path: &Path, per_commit: u32) -> f64 {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    connection.pragma_update(None, "synchronous", 2).unwrap();
    connection.execute_batch(include_str!("../sql/0001_store.sql")).unwrap();
    let began = Instant::now();
    let mut done = 0u32;
    while began.elapsed() < TIME {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..per_commit {
            let event = event();
            done += 1;
            let mut insert = connection.prepare_cached(include_str!("../sql/insert_event.sql")).unwrap();
            let (id, time) = (event.event_id.to_string(), event.timestamp.to_string());
            let stream = (done / 10).to_string();
            insert
                .execute(params![
                    done,
                    "bench",
                    stream,
                    done % 10,
                    id,
                    event.event_type,
                    1,
                    &*event.data,
                    &*event.metadata,
                    time
                ])
                .unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}
