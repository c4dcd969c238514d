//! Old and new release beside each other, and back again: the rows are those of a fold over the log.

use crate::builds::{Doubled, MoreTypes, OneType, V1, V2, V2Null, caught_up, number, with};
use crate::common::{Do, Shop, eventually, folded, stop, stored};
use factstream::status::State;
use factstream::{App, Error, Fold};
use std::fmt::Debug;

/// The new release starts while the old one runs, both go on for a while, the old one stops; then it comes back.
async fn roll_out_and_back<Old, New>()
where
    Old: Fold + PartialEq + Debug,
    New: Fold + PartialEq + Debug,
{
    let shop = Shop::new();
    let old = with::<Old>(&shop).open().await.unwrap();
    let old_running = old.start().await.unwrap();
    create(&old, 1).await;
    caught_up(&old, "order_rows").await;

    let new = with::<New>(&shop).open().await.unwrap();
    let new_running = new.start().await.unwrap();
    create(&new, 2).await;
    eventually("the old release stands by", || async { is_outdated(&old).await }).await;
    assert_eq!(stored::<New>(&new).await, folded(&new).await);
    stop(old_running).await;
    create(&new, 3).await;
    assert_eq!(stored::<New>(&new).await, folded(&new).await);

    // Back: the old release waits for as long as the new one lives.
    let old = with::<Old>(&shop).open().await.unwrap();
    let old_running = old.start().await.unwrap();
    eventually("the old release stands by", || async { is_outdated(&old).await }).await;
    create(&new, 4).await;
    assert_eq!(stored::<New>(&new).await, folded(&new).await);
    stop(new_running).await;
    eventually("the old release takes over", || async { !is_outdated(&old).await }).await;
    create(&old, 5).await;
    caught_up(&old, "order_rows").await;
    assert_eq!(stored::<Old>(&old).await, folded(&old).await);
    assert_eq!(number(&old, "SELECT count(*) FROM fs_dead_letters").await, 0);
    stop(old_running).await;
}

/// An order, and a note on it.
async fn create(app: &App, number: i64) {
    let id = format!("o-{number}");
    app.execute(&id, Do::Create(number)).await.unwrap();
    app.execute(&id, Do::Note("hello".into())).await.unwrap();
}

async fn is_outdated(app: &App) -> bool {
    matches!(app.status().await.handlers[0].state, State::Outdated { .. })
}

#[tokio::test]
async fn a_column_more_that_may_be_null_is_rolled_out_and_back() {
    roll_out_and_back::<V1, V2Null>().await;
}

#[tokio::test]
async fn a_column_more_that_may_not_be_null_is_rolled_out_and_back() {
    roll_out_and_back::<V1, V2>().await;
}

#[tokio::test]
async fn other_logic_with_the_same_columns_is_rolled_out_and_back() {
    roll_out_and_back::<V1, Doubled>().await;
}

#[tokio::test]
async fn one_more_type_of_event_is_rolled_out_and_back() {
    roll_out_and_back::<OneType, MoreTypes>().await;
}

#[tokio::test]
async fn a_release_that_nobody_runs_any_more_is_replaced_at_once() {
    let shop = Shop::new();
    for _ in 0..2 {
        let old = with::<V1>(&shop).open().await.unwrap();
        let running = old.start().await.unwrap();
        old.execute(uuid(), Do::Create(1)).await.unwrap();
        assert_eq!(stored::<V1>(&old).await, folded(&old).await);
        stop(running).await;
        let new = with::<Doubled>(&shop).open().await.unwrap();
        let running = new.start().await.unwrap();
        assert_eq!(stored::<Doubled>(&new).await, folded(&new).await);
        stop(running).await;
    }
}

fn uuid() -> String {
    format!("o-{}", rand::random::<u64>())
}

#[tokio::test]
async fn an_old_release_does_not_rebuild_over_the_new_one() {
    let shop = Shop::new();
    let old = with::<V1>(&shop).open().await.unwrap();
    create(&old, 1).await;
    let new = with::<V2>(&shop).open().await.unwrap();
    let refused = old.rebuild("order_rows", |_| {}).await;
    assert!(matches!(refused, Err(Error::OtherBuild { generation: 2, .. })), "{refused:?}");
    new.rebuild("order_rows", |_| {}).await.unwrap();
    let running = new.start().await.unwrap();
    assert_eq!(stored::<V2>(&new).await, folded(&new).await);
    stop(running).await;
}
