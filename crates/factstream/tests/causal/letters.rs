//! A cause that fails holds its effects until a person has decided.

use crate::common::{eventually, stop};
use crate::setup::{
    Analytics, LONG, Setup, eventually_seen, eventually_waiting, note, of_analytics, payment, plain, publish,
    seen,
};
use factstream::{App, Causal};
use std::sync::atomic::Ordering;

async fn dead(app: &App) -> u64 {
    eventually("there is a dead letter", || async { of_analytics(app).await.dead_letters == Some(1) }).await;
    app.dead_letters().list(None, false, 0).await.unwrap()[0].id
}

#[tokio::test]
async fn the_effect_of_a_dead_letter_waits_until_that_is_redriven() {
    let (setup, handler) = (Setup::new(), Analytics::default());
    handler.broken.store(true, Ordering::SeqCst);
    let app = setup.open(plain(handler.clone()).causal(Causal::wait(LONG))).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "bad", &[]);
    let behind = note("o-1", "behind", &[]);
    publish(&app, &[&cause, &behind]).await;
    let letter = dead(&app).await;
    // One waits for the dead letter, the other one for what is parked behind that.
    publish(&app, &[&payment("p-1", "effect", &[&cause]), &payment("p-2", "effect of behind", &[&behind])])
        .await;
    eventually_waiting(&app, 2).await;
    app.dead_letters().redrive(letter).await.unwrap();
    eventually("it has failed again", || async {
        let history = app.dead_letters().history(letter, None).await.unwrap();
        history.iter().filter(|entry| entry.action == "attempt").count() == 2
    })
    .await;
    assert_eq!((seen(&app).await.len(), of_analytics(&app).await.waiting), (0, Some(2)));
    handler.broken.store(false, Ordering::SeqCst);
    app.dead_letters().redrive(letter).await.unwrap();
    eventually("all are handled", || async { seen(&app).await.len() == 4 }).await;
    let seen = seen(&app).await;
    let place = |what: &str| seen.iter().position(|seen| seen == what).unwrap();
    assert!(place("bad") < place("effect") && place("behind") < place("effect of behind"), "{seen:?}");
    assert!(place("bad") < place("behind"));
    assert_eq!(of_analytics(&app).await.late, Some(0));
    stop(running).await;
}

#[tokio::test]
async fn the_effect_of_a_dead_letter_waits_until_that_is_discarded() {
    let (setup, handler) = (Setup::new(), Analytics::default());
    handler.broken.store(true, Ordering::SeqCst);
    let app = setup.open(plain(handler).causal(Causal::wait(LONG))).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "bad", &[]);
    publish(&app, &[&cause]).await;
    let letter = dead(&app).await;
    publish(&app, &[&payment("p-1", "effect", &[&cause])]).await;
    eventually_waiting(&app, 1).await;
    app.dead_letters().discard(letter, "it never was").await.unwrap();
    eventually_seen(&app, &["effect"]).await;
    // Also what comes only now.
    publish(&app, &[&payment("p-2", "another effect", &[&cause])]).await;
    eventually_seen(&app, &["effect", "another effect"]).await;
    assert_eq!(of_analytics(&app).await.late, Some(0));
    stop(running).await;
}

#[tokio::test]
async fn an_effect_that_waits_can_be_discarded_and_a_redrive_does_not_hurry_it() {
    let setup = Setup::new();
    let app = setup.open(crate::setup::analytics()).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "cause", &[]);
    publish(&app, &[&payment("p-1", "effect", &[&cause]), &payment("p-1", "next", &[])]).await;
    eventually_waiting(&app, 1).await;
    let letter = app.dead_letters().list(None, true, 0).await.unwrap()[0].id;
    app.dead_letters().redrive(letter).await.unwrap();
    eventually_waiting(&app, 1).await;
    assert_eq!(seen(&app).await, [""; 0]);
    app.dead_letters().discard(letter, "not wanted").await.unwrap();
    eventually_seen(&app, &["next"]).await;
    stop(running).await;
}
