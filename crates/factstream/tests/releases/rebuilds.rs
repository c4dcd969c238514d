//! Several rebuilds of one read model at once, by several processes: the rows are those of a fold over the log (G10).

use crate::builds::{Doubled, V1, number, with};
use crate::common::{Do, Shop, folded, settled, stop, stored};
use crate::processes::{child, url};
use factstream::App;
use std::process::Child;
use tokio::sync::oneshot;

async fn orders(app: &App, orders: usize) {
    let mut tx = app.begin().await.unwrap();
    for n in 0..orders {
        tx.command::<crate::common::Order, _>(&format!("o-{n}"), Do::Create(n as i64)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_switches_to_its_own_table_when_another_one_has_just_begun() {
    let shop = Shop::new();
    let app = with::<V1>(&shop).open().await.unwrap();
    orders(&app, 50).await;
    let running = app.start().await.unwrap();
    settled(&app).await;

    // The second begins when the first has filled its table, and is slow after its first page.
    let (second_begun, begun) = oneshot::channel();
    let (first_done, done) = std::sync::mpsc::channel::<()>();
    let other = with::<V1>(&shop).open().await.unwrap();
    let (mut begun, mut done) = (Some(begun), Some(done));
    let mut second_begun = Some(second_begun);
    let mut second = None;
    let first = tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(app.rebuild("order_rows", |_| {
            let Some(begun) = begun.take() else { return };
            let (other, done) = (other.clone(), done.take().unwrap());
            let mut second_begun = second_begun.take();
            second = Some(tokio::spawn(async move {
                let told = other.rebuild("order_rows", move |_| {
                    if let Some(begun) = second_begun.take() {
                        begun.send(()).unwrap();
                        done.recv().unwrap();
                    }
                });
                told.await
            }));
            tokio::task::block_in_place(|| begun.blocking_recv_here());
        }))
    });
    first.unwrap();
    assert_eq!(number(&app, "SELECT count(*) FROM order_rows").await, 50);
    first_done.send(()).unwrap();
    second.unwrap().await.unwrap().unwrap();
    app.execute("after", Do::Create(1)).await.unwrap();
    settled(&app).await;
    assert_eq!(stored::<V1>(&app).await, folded(&app).await);
    assert_eq!(number(&app, "SELECT count(*) FROM fs_rebuilds").await, 0);
    stop(running).await;
}

trait BlockingHere {
    fn blocking_recv_here(self);
}

impl BlockingHere for oneshot::Receiver<()> {
    /// Waits on this thread, which may block.
    fn blocking_recv_here(self) {
        tokio::runtime::Handle::current().block_on(self).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that the tests beside it start"]
async fn child_that_opens_the_new_release() {
    let app = App::builder(url()).service("shop").read_model::<Doubled>().open().await.unwrap();
    let running = app.start().await.unwrap();
    assert_eq!(stored::<Doubled>(&app).await, folded(&app).await);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_open_a_changed_release_together_and_none_fails() {
    for _ in 0..3 {
        let shop = Shop::new();
        let app = with::<V1>(&shop).open().await.unwrap();
        orders(&app, 400).await;
        let running = app.start().await.unwrap();
        settled(&app).await;
        let children: Vec<Child> = (0..3)
            .map(|_| child("rebuilds::child_that_opens_the_new_release", &shop).spawn().unwrap())
            .collect();
        for mut child in children {
            let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
            assert!(status.success());
        }
        stop(running).await;
        let new = with::<Doubled>(&shop).open().await.unwrap();
        assert_eq!(number(&new, "SELECT count(*) FROM order_rows").await, 400);
        assert_eq!(number(&new, "SELECT generation FROM fs_handlers").await, 2, "one of them rebuilt");
        let running = new.start().await.unwrap();
        assert_eq!(stored::<Doubled>(&new).await, folded(&new).await);
        stop(running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that the test beside it starts"]
async fn child_that_dies_in_a_rebuild() {
    let app = App::builder(url()).service("shop").read_model::<V1>().open().await.unwrap();
    app.rebuild("order_rows", |_| std::process::exit(9)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_rebuild_left_behind_is_cleared_away_by_the_next() {
    let shop = Shop::new();
    let app = with::<V1>(&shop).open().await.unwrap();
    orders(&app, 10).await;
    let status = child("rebuilds::child_that_dies_in_a_rebuild", &shop).status().unwrap();
    assert_eq!(status.code(), Some(9));
    assert_eq!(number(&app, "SELECT count(*) FROM fs_rebuilds").await, 1);
    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert_eq!(number(&app, "SELECT count(*) FROM order_rows").await, 10);
    assert_eq!(number(&app, "SELECT count(*) FROM fs_rebuilds").await, 0);
    assert_eq!(number(&app, "SELECT count(*) FROM fs_checkpoints WHERE handler LIKE 'fs:%'").await, 0);
    let left = app.store().query("SELECT count(*) FROM order_rows__r1", factstream::params![]).await;
    assert!(left.is_err(), "its table is dropped");
}
