//! Causal order is switched on and off while events wait.

use crate::common::{eventually, stop};
use crate::setup::{
    Analytics, Setup, analytics, eventually_seen, eventually_waiting, note, of_analytics, payment, plain,
    publish, waiting,
};
use factstream::Late;
use factstream::status::State;
use std::time::Duration;

#[tokio::test]
async fn switched_off_what_waits_is_handled_and_switched_on_again_it_waits() {
    let setup = Setup::new();
    let app = setup.open(waiting(Duration::from_secs(20 * 3_600), Late::DeadLetter)).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "cause", &[]);
    publish(&app, &[&payment("p-1", "one", &[&cause]), &payment("p-1", "next", &[])]).await;
    eventually_waiting(&app, 1).await;
    stop(running).await;
    drop(app);
    let app = setup.open(plain(Analytics::default())).await;
    let running = app.start().await.unwrap();
    eventually_seen(&app, &["one", "next"]).await;
    publish(&app, &[&payment("p-2", "two", &[&cause])]).await;
    eventually_seen(&app, &["one", "next", "two"]).await;
    assert_eq!(of_analytics(&app).await.late, Some(0), "nothing was promised");
    stop(running).await;
    drop(app);
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    publish(&app, &[&payment("p-3", "three", &[&cause])]).await;
    eventually_waiting(&app, 1).await;
    publish(&app, &[&cause]).await;
    eventually_seen(&app, &["one", "next", "two", "cause", "three"]).await;
    stop(running).await;
}

#[tokio::test]
async fn another_wait_counts_for_what_waits_already() {
    let setup = Setup::new();
    let app = setup.open(waiting(Duration::from_secs(20 * 3_600), Late::Handle)).await;
    let running = app.start().await.unwrap();
    publish(&app, &[&payment("p-1", "effect", &[&note("o-1", "cause", &[])])]).await;
    eventually_waiting(&app, 1).await;
    stop(running).await;
    drop(app);
    let app = setup.open(waiting(Duration::from_millis(100), Late::Handle)).await;
    let running = app.start().await.unwrap();
    eventually_seen(&app, &["effect"]).await;
    assert_eq!(of_analytics(&app).await.late, Some(1));
    stop(running).await;
}

#[tokio::test]
async fn a_build_without_causal_order_does_not_run_beside_one_that_has_it() {
    let setup = Setup::new();
    let old = setup.open(plain(Analytics::default())).await;
    let running_old = old.start().await.unwrap();
    let new = setup.open(analytics()).await;
    let running = new.start().await.unwrap();
    eventually("the old build stands by", || async {
        matches!(of_analytics(&old).await.state, State::Outdated { .. })
    })
    .await;
    let cause = note("o-1", "cause", &[]);
    publish(&new, &[&payment("p-1", "effect", &[&cause])]).await;
    eventually_waiting(&new, 1).await;
    publish(&new, &[&cause]).await;
    eventually_seen(&new, &["cause", "effect"]).await;
    stop(running_old).await;
    stop(running).await;
}
