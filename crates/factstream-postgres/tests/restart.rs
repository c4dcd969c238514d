//! A server that crashes and comes back.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{append, log};
use factstream_core::store::{Outcome, Store, StoreError};
use factstream_postgres::PostgresStore;
use factstream_tests::postgres::Postgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 8;

/// Waits until so many more appends are acknowledged.
async fn more(acknowledged: &AtomicU64, count: u64) {
    let wanted = acknowledged.load(Ordering::Relaxed) + count;
    let deadline = Instant::now() + Duration::from_secs(90);
    while acknowledged.load(Ordering::Relaxed) < wanted {
        assert!(Instant::now() < deadline, "appends do not go on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_and_doubles_nothing_that_was_acknowledged() {
    let server = Arc::new(Postgres::start_own());
    let store = PostgresStore::open_url(&server.database()).await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, over, acknowledged) = (store.clone(), Arc::clone(&over), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let (mut stored, mut refused, mut unknown) = (Vec::new(), Vec::new(), 0);
                while !over.load(Ordering::Relaxed) {
                    let wanted = append(&format!("{writer}"));
                    let id = wanted.events[0].event_id;
                    match store.append(wanted, None).await {
                        Ok(Outcome::Appended(_)) => {
                            stored.push(id);
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(StoreError::Unknown(_)) => unknown += 1,
                        Err(error) => {
                            assert!(error.is_transient(), "{error}");
                            refused.push(id);
                        }
                    }
                }
                (stored, refused, unknown)
            })
        })
        .collect();
    let waiter = {
        let (store, over) = (store.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut seen = 0;
            while !over.load(Ordering::Relaxed) {
                match store.wait_beyond(seen, Duration::from_secs(1)).await {
                    Ok(head) => {
                        assert!(head >= seen, "the log went back from {seen} to {head}");
                        seen = head;
                    }
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
            }
            seen
        })
    };
    for crash in 0..4 {
        more(&acknowledged, 200).await;
        let before = acknowledged.load(Ordering::Relaxed);
        let server = Arc::clone(&server);
        let stop = move || {
            if crash == 1 {
                server.stop_fast()
            } else {
                server.kill()
            }
            server.start_again();
        };
        tokio::task::spawn_blocking(stop).await.unwrap();
        println!("stopped and started again; {before} were acknowledged before");
    }
    let back = log(&store).await.len() as u64;
    more(&acknowledged, 200).await;
    over.store(true, Ordering::Relaxed);
    let (mut stored, mut refused, mut unknown) = (Vec::new(), Vec::new(), 0);
    for writer in writers {
        let (own_stored, own_refused, own_unknown) = writer.await.unwrap();
        stored.extend(own_stored);
        refused.extend(own_refused);
        unknown += own_unknown;
    }
    println!("{} acknowledged, {} refused, {unknown} unknown", stored.len(), refused.len());
    let mut log = log(&store).await;
    let events = log.len();
    assert!(waiter.await.unwrap() > back, "who waits was woken after the last start");
    log.sort_unstable();
    log.dedup();
    assert_eq!(log.len(), events, "nothing is there twice");
    assert!(stored.iter().all(|id| log.binary_search(id).is_ok()), "all that was acknowledged is there");
    assert!(refused.iter().all(|id| log.binary_search(id).is_err()), "nothing that was refused is there");
}
