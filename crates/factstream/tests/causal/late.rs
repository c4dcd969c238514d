//! When the wait is over: handled all the same, or a dead letter; counted either way.

use crate::common::{eventually, stop};
use crate::setup::{
    Setup, eventually_seen, eventually_waiting, note, of_analytics, payment, publish, seen, waiting,
};
use factstream::{Causal, Consumer, Error, Late, Retention};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_event_whose_wait_is_over_is_handled_and_counted() {
    let setup = Setup::new();
    let app = setup.open(waiting(SHORT, Late::Handle)).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "cause", &[]);
    publish(&app, &[&payment("p-1", "effect", &[&cause]), &payment("p-1", "next", &[])]).await;
    eventually_seen(&app, &["effect", "next"]).await;
    publish(&app, &[&cause]).await;
    eventually_seen(&app, &["effect", "next", "cause"]).await;
    let status = of_analytics(&app).await;
    assert_eq!(
        (status.late, status.attempts, status.waiting),
        (Some(1), 0, Some(0)),
        "no failure, no attempt"
    );
    stop(running).await;
    drop(app);
    // It is counted for good.
    let app = setup.open(waiting(SHORT, Late::Handle)).await;
    assert_eq!(of_analytics(&app).await.late, Some(1));
}

#[tokio::test]
async fn an_event_whose_wait_is_over_is_a_dead_letter_where_that_is_wanted() {
    let setup = Setup::new();
    let app = setup.open(waiting(SHORT, Late::DeadLetter)).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "cause", &[]);
    publish(&app, &[&payment("p-1", "effect", &[&cause])]).await;
    eventually("it is a dead letter", || async { of_analytics(&app).await.dead_letters == Some(1) }).await;
    let letter = app.dead_letters().list(None, false, 0).await.unwrap().remove(0);
    let reason = letter.reason.unwrap();
    assert!(reason.contains("was not handled within 300ms") && reason.contains("redrive"), "{reason}");
    let status = of_analytics(&app).await;
    assert_eq!((letter.attempts, status.attempts, status.late, status.waiting), (0, 0, Some(1), Some(0)));
    assert_eq!(app.dead_letters().history(letter.id, None).await.unwrap()[0].action, "late");
    assert_eq!(seen(&app).await, [""; 0]);
    // Who redrives it wants it handled, with or without its cause.
    app.dead_letters().redrive(letter.id).await.unwrap();
    eventually_seen(&app, &["effect"]).await;
    stop(running).await;
}

#[tokio::test]
async fn a_wait_is_counted_from_when_the_event_first_came_also_over_a_restart_and_behind_its_key() {
    let setup = Setup::new();
    let app = setup.open(waiting(Duration::from_secs(3), Late::Handle)).await;
    let running = app.start().await.unwrap();
    let (one, other) = (note("o-1", "one", &[]), note("o-2", "other", &[]));
    publish(&app, &[&payment("p-1", "effect", &[&one]), &payment("p-1", "next", &[&other])]).await;
    eventually_waiting(&app, 1).await;
    stop(running).await;
    drop(app);
    let app = setup.open(waiting(Duration::from_secs(3), Late::Handle)).await;
    let running = app.start().await.unwrap();
    eventually_seen(&app, &["effect", "next"]).await;
    assert_eq!(of_analytics(&app).await.late, Some(2), "both waited at the same time");
    stop(running).await;
}

#[tokio::test]
async fn a_wait_that_cannot_be_meant_is_refused() {
    let setup = Setup::new();
    for wrong in [Duration::ZERO, Duration::from_secs(31 * 24 * 3_600), Duration::MAX] {
        let refused = setup.builder().consumer(waiting(wrong, Late::Handle)).open().await.unwrap_err();
        let told = refused.to_string();
        assert!(matches!(refused, Error::Wiring(_)) && told.contains("analytics waits"), "{told}");
    }
    let kept = Retention { inbox: Duration::from_secs(7_200), ..Retention::default() };
    let of = |hours: u64| Consumer::new("mail").causal(Causal::wait(Duration::from_secs(hours * 3_600)));
    assert!(setup.builder().retention(kept).consumer(of(3)).open().await.is_err());
}
