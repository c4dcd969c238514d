//! Opening a store to look at it changes nothing.

use crate::builds::{Doubled, V1, number, with};
use crate::common::{Do, Shop, eventually, settled, stop};
use factstream::{App, Consumer, Error, params};
use std::time::Duration;

async fn contents(app: &App) -> Vec<u64> {
    let mut contents = Vec::new();
    for table in ["fs_handlers", "fs_checkpoints", "fs_topics", "fs_owners", "fs_leases", "fs_rebuilds"] {
        contents.push(number(app, &format!("SELECT count(*) FROM {table}")).await);
    }
    contents.push(number(app, "SELECT CAST(coalesce(sum(generation), 0) AS BIGINT) FROM fs_handlers").await);
    contents
}

#[tokio::test]
async fn a_tool_of_another_release_registers_rebuilds_and_makes_nothing() {
    let shop = Shop::new();
    let app = with::<V1>(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    let before = contents(&app).await;

    let consumer = Consumer::new("new").handler(crate::builds::Effects("new"));
    let tool = with::<Doubled>(&shop).consumer(consumer).inspect().await.unwrap();
    assert_eq!(tool.status().await.position, Some(1));
    assert!(tool.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    assert!(matches!(tool.start().await, Err(Error::Wiring(_))));
    assert_eq!(contents(&app).await, before);
    assert_eq!(number(&app, "SELECT amount FROM order_rows").await, 1, "nobody doubled it");
    stop(running).await;
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("none.db");
    let refused = App::builder(format!("sqlite://{}", file.display())).inspect().await.err().unwrap();
    assert!(refused.to_string().contains("start the application"), "{refused}");
    assert!(!file.exists());
}

#[tokio::test]
async fn whoever_looks_from_outside_sees_what_each_handler_is_doing_in_each_process() {
    let shop = Shop::new();
    let old = with::<V1>(&shop).open().await.unwrap();
    let old_running = old.start().await.unwrap();
    let tool = with::<V1>(&shop).inspect().await.unwrap();
    // One process here, with two applications.
    let states = || async {
        let processes = tool.processes(Duration::from_secs(5)).await.unwrap();
        let mut states: Vec<String> = processes
            .iter()
            .filter_map(|process| Some(process.handlers.get("order_rows")?.state.clone()))
            .collect();
        states.sort();
        states
    };
    eventually("it is live", || async { states().await == ["live"] }).await;
    let beside = with::<V1>(&shop).open().await.unwrap();
    let beside_running = beside.start().await.unwrap();
    eventually("one stands by", || async { states().await == ["live", "standing by"] }).await;
    let new = with::<Doubled>(&shop).open().await.unwrap();
    let new_running = new.start().await.unwrap();
    eventually("both are outdated", || async { states().await == ["live", "outdated", "outdated"] }).await;
    let processes = tool.processes(Duration::from_secs(5)).await.unwrap();
    let reasons = processes.iter().filter_map(|process| process.handlers["order_rows"].reason.as_deref());
    assert!(reasons.clone().count() == 2 && reasons.clone().all(|reason| reason.contains("generation 2")));
    for running in [old_running, beside_running] {
        stop(running).await;
    }
    eventually("they have left", || async { states().await == ["live"] }).await;
    stop(new_running).await;
    // A process that was killed, elsewhere: its beat stands still.
    let mut tx = tool.begin().await.unwrap();
    let sql = "INSERT INTO fs_owners (owner, beat, builds, states) VALUES ('m/1/i/h/s', 5, '{}', $1)";
    tx.sql(sql, params![r#"{"order_rows":{"state":"live"}}"#]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(tool.processes(Duration::ZERO).await.unwrap().len(), 1);
    assert_eq!(tool.processes(Duration::from_secs(1)).await.unwrap(), []);
}
