//! When nothing works, a handler with a circuit pauses as a whole: no attempt is used up, and no letter is made.

use crate::common::{Do, Shop, eventually, quick, settled, stop};
use crate::server::{Answer, Asking, Server};
use factstream::status::State;
use factstream::{Circuit, Consumer, Error, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn while_the_other_side_is_down_one_event_is_tried_each_pause_and_afterwards_all_are_handled() {
    for concurrency in [1, 4] {
        let shop = Shop::new();
        let down = Arc::new(AtomicBool::new(true));
        let is_down = Arc::clone(&down);
        let server = Server::start(move |_, _| match is_down.load(Ordering::SeqCst) {
            true => Answer::Down,
            false => Answer::Ok,
        })
        .await;
        let asking = Consumer::new("asking").external(Asking(server.clone())).retry(quick(5));
        let asking = asking.concurrency(concurrency).circuit(Circuit::after(6).pause(PAUSE));
        let app = shop.builder().consumer(asking).open().await.unwrap();
        for n in 0..100 {
            app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
        }
        let running = app.start().await.unwrap();
        let paused = || async {
            let state = app.status().await.handlers.remove(0).state;
            matches!(state, State::Paused { reason } if reason.contains("circuit is open"))
        };
        eventually("it shows that it pauses", paused).await;
        let opened_after = server.calls().len();
        assert!(opened_after <= 6 + concurrency, "{opened_after} calls");
        eventually("probes", || async { server.calls().len() >= opened_after + 16 }).await;
        let calls = server.calls();
        for pair in calls[opened_after + 1..].windows(2) {
            assert!(pair[1].duration_since(pair[0]) >= PAUSE, "one each pause");
        }
        let letters = app.dead_letters().list(None, true, 0).await.unwrap();
        assert!(letters.iter().all(|letter| letter.state != "dead"), "{letters:?}");
        let sql = "SELECT CAST(coalesce(sum(attempts), 0) AS BIGINT) AS attempts FROM fs_dead_letters";
        let attempts: u64 = app.store().query(sql, params![]).await.unwrap()[0].get("attempts").unwrap();
        assert!(attempts <= opened_after as u64 + 1, "{attempts} attempts are used up");
        down.store(false, Ordering::SeqCst);
        settled(&app).await;
        for n in 0..100 {
            assert!(!server.calls_of(&format!("/o-{n}")).is_empty(), "o-{n}");
        }
        assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
        stop(running).await;
    }
}

#[tokio::test]
async fn one_event_that_always_fails_stops_no_other() {
    let shop = Shop::new();
    let server = Server::start(|path, _| if path == "/o-3" { Answer::Down } else { Answer::Ok }).await;
    let asking = Consumer::new("asking").external(Asking(server.clone())).retry(quick(5));
    let asking = asking.circuit(Circuit::after(6).pause(Duration::from_secs(600)));
    let app = shop.builder().consumer(asking).open().await.unwrap();
    for n in 0..20 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.key.as_str()).collect::<Vec<_>>(), ["o-3"]);
    stop(running).await;
}

#[tokio::test]
async fn a_pause_ends_at_once_when_the_application_stops() {
    let shop = Shop::new();
    let server = Server::start(|_, _| Answer::Down).await;
    let asking = Consumer::new("asking").external(Asking(server.clone())).retry(quick(2));
    let asking = asking.circuit(Circuit::after(3).pause(Duration::from_secs(600)));
    let app = shop.builder().consumer(asking).open().await.unwrap();
    for n in 0..10 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
    }
    let running = app.start().await.unwrap();
    eventually("it opens", || async { server.calls().len() >= 3 }).await;
    stop(running).await;
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn a_circuit_that_is_none_is_refused_when_the_application_is_opened() {
    let shop = Shop::new();
    let server = Server::start(|_, _| Answer::Ok).await;
    for (circuit, why) in [
        (Circuit::after(0), "more failures than an event has attempts"),
        (Circuit::after(5), "more failures than an event has attempts"),
        (Circuit::after(20).pause(Duration::ZERO), "more than 0"),
    ] {
        let asking = Consumer::new("asking").external(Asking(server.clone())).circuit(circuit);
        match shop.builder().consumer(asking).open().await {
            Err(Error::Wiring(text)) => assert!(text.contains("asking") && text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}
