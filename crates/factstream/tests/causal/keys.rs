//! Events of several topics that share a key: what orders them are their causes, and nothing else.

use crate::common::{eventually, stop};
use crate::setup::{
    self, Analytics, LONG, Published, Setup, analytics, eventually_seen, eventually_waiting, note,
    nothing_is_left, nothing_waits, of_analytics, payment, plain, publish, seen,
};
use factstream::{Causal, params};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_cause_of_the_same_key_is_not_parked_behind_what_waits_for_it() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let placed = note("o-1", "placed", &[]);
    let paid = payment("o-1", "paid", &[&placed]);
    publish(&app, &[&paid]).await;
    eventually_waiting(&app, 1).await;
    let waits = app.dead_letters().list(Some("analytics"), true, 0).await.unwrap().remove(0);
    assert_eq!(waits.key, "o-1", "people are shown the key as it is");
    // The topic keeps its order: what came behind the one that waits does so still.
    publish(&app, &[&payment("o-1", "refunded", &[])]).await;
    eventually("it is parked", || async { of_analytics(&app).await.parked == Some(1) }).await;
    publish(&app, &[&note("o-1", "draft", &[]), &placed]).await;
    eventually_seen(&app, &["draft", "placed", "paid", "refunded"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}

#[tokio::test]
async fn a_cause_behind_others_of_its_topic_comes_in_their_order() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let elsewhere = payment("p-1", "elsewhere", &[]);
    let first = note("o-1", "first", &[&elsewhere]);
    let second = note("o-1", "second", &[]);
    let paid = payment("o-1", "paid", &[&second]);
    for (event, waiting) in [(&paid, 1), (&first, 2)] {
        publish(&app, &[event]).await;
        eventually_waiting(&app, waiting).await;
    }
    publish(&app, &[&second]).await;
    eventually("it is parked", || async { of_analytics(&app).await.parked == Some(1) }).await;
    publish(&app, &[&elsewhere]).await;
    eventually_seen(&app, &["elsewhere", "first", "second", "paid"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}

/// In each of the keys, an effect waits in one topic for a cause of the next key, whose place in the other topic is behind nothing but
/// its own key: with one queue for both topics, they would wait for each other in a circle.
#[tokio::test]
async fn keys_that_wait_for_each_others_topics_do_not_wait_in_a_circle() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let count: usize = 5;
    let notes: Vec<Published> =
        (0..count).map(|n| note(&format!("k-{n}"), &format!("note {n}"), &[])).collect();
    let payments: Vec<Published> = (0..count)
        .map(|n| payment(&format!("k-{n}"), &format!("payment {n}"), &[&notes[(n + 1) % count]]))
        .collect();
    publish(&app, &payments.iter().collect::<Vec<_>>()).await;
    eventually_waiting(&app, count as u64).await;
    publish(&app, &notes.iter().collect::<Vec<_>>()).await;
    eventually("all are handled", || async { seen(&app).await.len() == 2 * count }).await;
    nothing_is_left(&app).await;
    stop(running).await;
}

/// Chains whose links share a few keys, in random order: in one batch, in several, in lanes, at two members.
#[tokio::test]
async fn no_effect_comes_before_its_cause_where_keys_are_shared() {
    for (lanes, members) in [(1, 1), (4, 1), (2, 2)] {
        Box::pin(shuffled(lanes, members)).await;
    }
}

async fn shuffled(lanes: usize, members: usize) {
    const CHAINS: usize = 60;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let setup = Setup::new();
    let (apps, running) = setup::members(&setup, lanes, members).await;
    // The order of a topic agrees with the causes, as where both come from one log; the topics are read against each other.
    let notes: Vec<Published> =
        (0..CHAINS).map(|n| note(&format!("k-{}", n % 7), &format!("note {n}"), &[])).collect();
    let payments: Vec<Published> = (0..CHAINS)
        .map(|n| payment(&format!("k-{}", n % 5), &format!("payment {n}"), &[&notes[n]]))
        .collect();
    let mut sources: Vec<bool> = (0..2 * CHAINS).map(|n| n % 2 == 0).collect();
    sources.shuffle(&mut random);
    let (mut next_note, mut next_payment) = (notes.iter(), payments.iter());
    let events: Vec<&Published> = sources
        .into_iter()
        .filter_map(|is_note| if is_note { next_note.next() } else { next_payment.next() })
        .collect();
    for part in events.chunks(17) {
        publish(&apps[0], part).await;
    }
    eventually("all are handled", || async { seen(&apps[0]).await.len() == 2 * CHAINS }).await;
    let seen = seen(&apps[0]).await;
    let place = |what: String| seen.iter().position(|seen| *seen == what).unwrap();
    for n in 0..CHAINS {
        assert!(place(format!("note {n}")) < place(format!("payment {n}")), "chain {n}: {seen:?}");
        let same_key = |what: &str, keys: usize| {
            n >= keys && place(format!("{what} {}", n - keys)) > place(format!("{what} {n}"))
        };
        assert!(
            !same_key("note", 7) && !same_key("payment", 5),
            "the order of a key in its topic, at {n}: {seen:?}"
        );
    }
    nothing_is_left(&apps[0]).await;
    for running in running {
        stop(running).await;
    }
}

/// What a build without causal order has put behind a key is still before what comes after it, and the other way round.
#[tokio::test]
async fn a_key_keeps_its_order_when_causal_order_is_switched_on_or_off() {
    for (before, after) in [(false, true), (true, false)] {
        let setup = Setup::new();
        let handler = Analytics::default();
        handler.broken.store(true, Ordering::SeqCst);
        let consumer = |is_causal: bool| match is_causal {
            true => plain(handler.clone()).causal(Causal::wait(LONG)),
            false => plain(handler.clone()),
        };
        let app = setup.open(consumer(before)).await;
        let running = app.start().await.unwrap();
        publish(&app, &[&payment("o-1", "bad", &[]), &payment("o-1", "second", &[])]).await;
        eventually("one is dead, one parked", || async {
            let status = of_analytics(&app).await;
            (status.dead_letters, status.parked) == (Some(1), Some(1))
        })
        .await;
        stop(running).await;
        drop(app);
        let app = setup.open(consumer(after)).await;
        let running = app.start().await.unwrap();
        publish(&app, &[&payment("o-1", "third", &[]), &payment("o-2", "another", &[])]).await;
        eventually_seen(&app, &["another"]).await;
        eventually("the third is parked", || async { of_analytics(&app).await.parked == Some(2) }).await;
        handler.broken.store(false, Ordering::SeqCst);
        let letters = app.dead_letters();
        letters.redrive(letters.list(None, false, 0).await.unwrap()[0].id).await.unwrap();
        eventually_seen(&app, &["another", "bad", "second", "third"]).await;
        stop(running).await;
    }
}

/// A build without causal order puts all topics of a key into one queue. In that, what waits for a cause would be before it.
#[tokio::test]
async fn what_a_build_without_causal_order_has_put_into_one_queue_is_split() {
    let setup = Setup::new();
    let handler = Analytics::default();
    handler.broken.store(true, Ordering::SeqCst);
    let app = setup.open(plain(handler.clone())).await;
    let running = app.start().await.unwrap();
    let placed = note("o-1", "placed", &[]);
    let paid = payment("o-1", "paid", &[&placed]);
    for (event, parked) in
        [(&note("o-1", "bad", &[]), 0), (&paid, 1), (&payment("o-1", "refunded", &[]), 2), (&placed, 3)]
    {
        publish(&app, &[event]).await;
        eventually("the key is blocked", || async {
            let status = of_analytics(&app).await;
            (status.dead_letters, status.parked) == (Some(1), Some(parked))
        })
        .await;
    }
    stop(running).await;
    drop(app);
    handler.broken.store(false, Ordering::SeqCst);
    let app = setup.open(plain(handler.clone()).causal(Causal::wait(LONG))).await;
    let running = app.start().await.unwrap();
    let letters = app.dead_letters();
    letters.redrive(letters.list(None, false, 0).await.unwrap()[0].id).await.unwrap();
    eventually_seen(&app, &["bad", "placed", "paid", "refunded"]).await;
    nothing_waits(&app).await;
    stop(running).await;
}

/// As releases before this one left it behind.
#[tokio::test]
async fn a_cause_that_an_earlier_release_has_parked_behind_its_effect_is_handled() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let placed = note("o-1", "placed", &[]);
    publish(&app, &[&payment("o-1", "paid", &[&placed])]).await;
    eventually_waiting(&app, 1).await;
    stop(running).await;
    let mut tx = app.begin().await.unwrap();
    for table in ["fs_blocked_keys", "fs_dead_letters"] {
        let sql = format!("UPDATE {table} SET event_key = 'o-1' WHERE handler = 'analytics'");
        assert_eq!(tx.sql(&sql, params![]).await.unwrap(), 1);
    }
    tx.commit().await.unwrap();
    drop(app);
    let app = setup.open(analytics()).await;
    publish(&app, &[&placed]).await;
    let running = app.start().await.unwrap();
    eventually_seen(&app, &["placed", "paid"]).await;
    nothing_is_left(&app).await;
    stop(running).await;
}
