//! Opening a store to look at it changes nothing.

use crate::builds::{Doubled, V1, number, with};
use crate::common::{Do, Shop, settled, stop};
use factstream::{App, Consumer, Error};

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
