//! How fast a log is sealed and verified here, and what a seal takes on disk.
//!
//! `cargo run --release -p factstream --features postgres --example seal_rate [postgres]`: on a new SQLite file, or on a PostgreSQL server of
//! its own.
#![allow(clippy::unwrap_used)]

use factstream::envelope::{Metadata, NewEvent, StreamId};
use factstream::sql::now;
use factstream::store::{Append, Expected};
use factstream::{App, params};
use std::time::{Duration, Instant};
use uuid::Uuid;

const EVENTS: u64 = 200_000;
const BATCH: u64 = 500;
const DATA_BYTES: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // Not the system's own temporary folder: that may be memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(".").unwrap();
    let file = format!("sqlite://{}", dir.path().join("seals.db").display());
    let url = match std::env::args().nth(1).as_deref() {
        Some("postgres") => factstream_tests::postgres::server().database(),
        _ => file,
    };
    let app = App::builder(url.clone()).seal_within(Duration::ZERO).open().await.unwrap();

    let from = app.head().await.unwrap();
    let began = Instant::now();
    append(&app, EVENTS).await;
    println!("appended, no sealer: {:.0} events/s", EVENTS as f64 / began.elapsed().as_secs_f64());

    let running = app.start().await.unwrap();
    let began = Instant::now();
    until_sealed(&app, from + EVENTS).await;
    println!("sealed what was there: {:.0} events/s", EVENTS as f64 / began.elapsed().as_secs_f64());

    let began = Instant::now();
    append(&app, EVENTS).await;
    println!("appended, sealed beside: {:.0} events/s", EVENTS as f64 / began.elapsed().as_secs_f64());
    println!("behind it: {} events", app.seals().status().await.unwrap().unsealed_events);
    until_sealed(&app, from + 2 * EVENTS).await;
    println!("all of it sealed: {:.0} events/s", EVENTS as f64 / began.elapsed().as_secs_f64());
    running.stop(Duration::from_secs(10)).await;

    let began = Instant::now();
    let verification = app.seals().verify(&[], |_| {}).await.unwrap();
    assert!(verification.passes(), "{verification}");
    println!("verified: {:.0} events/s", verification.intact as f64 / began.elapsed().as_secs_f64());

    let bytes = match url.starts_with("sqlite") {
        true => "SELECT sum(pgsize) AS bytes FROM dbstat WHERE name LIKE '%fs_seal%'",
        false => {
            "SELECT CAST(pg_total_relation_size('fs_seals') + pg_total_relation_size('fs_seal_salts') AS BIGINT) AS bytes"
        }
    };
    let bytes: u64 = app.store().query(bytes, params![]).await.unwrap()[0].get("bytes").unwrap();
    let rows = app.store().query("SELECT count(*) AS n FROM fs_seals", params![]).await.unwrap();
    let (rows, events) = (rows[0].get::<u64>("n").unwrap(), verification.sealed_to);
    println!("on disk: {:.1} bytes an event, in {rows} rows", bytes as f64 / events as f64);
}

async fn append(app: &App, events: u64) {
    let data = format!("{{\"text\":\"{}\"}}", "x".repeat(DATA_BYTES));
    let metadata =
        serde_json::to_string(&Metadata { source: "seal_rate".into(), ..Metadata::default() }).unwrap();
    for _ in 0..events / BATCH {
        let event = || NewEvent {
            event_id: Uuid::now_v7(),
            event_type: "Noted".into(),
            schema_version: 1,
            data: data.clone().into(),
            metadata: metadata.clone().into(),
            timestamp: now(),
        };
        let stream = StreamId::new("note", Uuid::now_v7().to_string()).unwrap();
        let events = (0..BATCH).map(|_| event()).collect();
        app.store().append(Append { stream, expected: Expected::Exact(0), events }, None).await.unwrap();
    }
}

async fn until_sealed(app: &App, position: u64) {
    while app.seals().status().await.unwrap().sealed_to < position {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
