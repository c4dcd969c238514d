//! A store of which the log was restored from an older backup than the rest: nothing is skipped in silence.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{OrderRow, Shop, eventually, fill, folded, settled, stop, stored};
use factstream::status::State;
use factstream::{App, Error, params};

async fn write(app: &App, sql: &str, position: u64) {
    let mut tx = app.begin().await.unwrap();
    tx.sql(sql, params![position]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_older_than_a_checkpoint_is_refused_at_start_and_goes_on_after_a_rebuild() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    let head = fill(&app, 0..20).await;
    settled(&app).await;
    stop(running).await;

    let restored = 7;
    write(&app, "DELETE FROM events WHERE position > $1", restored).await;
    write(&app, "UPDATE fs_log SET head = $1", restored).await;
    drop(app);
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let error = app.start().await.unwrap_err();
    let numbers = matches!(error, Error::BeyondHead { checkpoint, head: 7, .. } if checkpoint == head);
    assert!(numbers && error.to_string().contains("older backup"), "{error}");

    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert!(matches!(app.start().await, Err(Error::BeyondHead { handler, .. }) if handler == "relay"));
    write(&app, "UPDATE fs_checkpoints SET position = $1 WHERE handler = 'relay'", restored).await;
    let running = app.start().await.unwrap();
    fill(&app, 30..40).await;
    settled(&app).await;
    assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
    stop(running).await;
}

#[tokio::test]
async fn a_handler_whose_checkpoint_is_beyond_the_head_stays_halted_when_the_log_grows_past_it() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    let head = fill(&app, 0..4).await;
    settled(&app).await;
    let beyond = head + 5;
    write(&app, "UPDATE fs_checkpoints SET position = $1 WHERE handler = 'order_rows'", beyond).await;
    fill(&app, 4..5).await; // it notices when it wants to move on
    let handler = || async { app.status().await.handlers.remove(0) };
    let is_halted = || async { matches!(handler().await.state, State::Halted { .. }) };
    eventually("it is halted", is_halted).await;
    fill(&app, 5..20).await;
    assert!(app.head().await.unwrap() > beyond);
    app.rebuild("order_rows", |_| {}).await.unwrap();
    fill(&app, 20..30).await;
    settled(&app).await;
    assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
    stop(running).await;
}
