//! How many appends a second a store takes: callers that each wait for their own append, on a private server.
//!
//! `cargo run --release -p factstream-postgres --example append_rate -- [CALLERS [ROUNDS [OTHER_HANDLES]]]`
//! A round is a quarter second with announcements of each commit, and one without. Other handles stand for other processes
//! that have the same store open, listen, and wait for news.

use factstream_core::envelope::{NewEvent, StreamId};
use factstream_core::sql::now;
use factstream_core::store::{Append, Expected, Store};
use factstream_postgres::{Options, PostgresStore};
use std::error::Error;
use std::time::{Duration, Instant};
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

const ROUND: Duration = Duration::from_millis(250);

fn append(id: &str) -> Result<Append, Failure> {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "Noted".into(),
        schema_version: 1,
        data: format!("{{\"text\":\"{}\"}}", "x".repeat(150)).into(),
        metadata: "{\"source\":\"rate\"}".into(),
        timestamp: now(),
    };
    Ok(Append { stream: StreamId::new("note", id)?, expected: Expected::Any, events: vec![event] })
}

/// How many appends are acknowledged within the time.
async fn count(store: &PostgresStore, callers: u64, time: Duration) -> Result<u64, Failure> {
    let deadline = Instant::now() + time;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while Instant::now() < deadline {
                    store.append(append(&format!("{caller}-{}", done % 100))?, None).await?;
                    done += 1;
                }
                Ok::<_, Failure>(done)
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok(done)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |usual| arguments.next().unwrap_or(Ok(usual));
    let (callers, rounds, others) = (next(64)?, next(10)?, next(1)?);
    let url = factstream_tests::postgres::server().database();
    let mute = Options { hints: false, ..Options::default() };
    let with_hints = PostgresStore::open_with(&url, Options::default()).await?;
    let without_hints = PostgresStore::open_with(&url, mute).await?;
    for _ in 0..others {
        let other = PostgresStore::open_with(&url, Options::default()).await?;
        tokio::spawn(async move {
            let mut seen = 0;
            while let Ok(head) = other.wait_beyond(seen, Duration::from_secs(60)).await {
                seen = head;
            }
        });
    }
    // Each in turn, so that what else the machine does falls on both.
    let (mut with, mut without) = (0, 0);
    for _ in 0..rounds {
        with += count(&with_hints, callers, ROUND).await?;
        without += count(&without_hints, callers, ROUND).await?;
    }
    let rate = |count: u64| count as f64 / (rounds as f64 * ROUND.as_secs_f64());
    let (with, without) = (rate(with), rate(without));
    println!(
        "{callers} callers, {others} other handles: {with:.0} appends/s with hints, {without:.0} without"
    );
    Ok(())
}
