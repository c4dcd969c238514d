//! Stopping keeps to its deadline, whatever the store does meanwhile (G14).
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Order, OrderRow};
use factstream::App;
use factstream::sqlite::rusqlite::Connection;
use std::time::{Duration, Instant};

#[tokio::test]
async fn stopping_ends_in_time_while_another_process_holds_the_stores_lock() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.db");
    let app = App::builder(format!("sqlite://{}", file.display())).aggregate::<Order>();
    let app = app.read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    running.stop(Duration::from_secs(1)).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "it took {:?}", begun.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
}
