//! Many at once: lanes, members, partitions; and no effect before its cause.

use crate::common::{eventually, stop};
use crate::setup::{self, Published, Setup, analytics, note, nothing_is_left, payment, publish, seen};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use std::collections::HashMap;

/// Chains of a note, a payment and a note, each link in a key of its own.
fn chains(count: usize) -> Vec<Published> {
    let mut all = Vec::new();
    for n in 0..count {
        let first = note(&format!("o-{n}"), &format!("{n} a"), &[]);
        let second = payment(&format!("p-{n}"), &format!("{n} b"), &[&first]);
        let third = note(&format!("r-{n}"), &format!("{n} c"), &[&second]);
        all.extend([first, second, third]);
    }
    all
}

fn in_order(seen: &[String], chains: usize) {
    let place: HashMap<&str, usize> = seen.iter().enumerate().map(|(at, what)| (what.as_str(), at)).collect();
    assert_eq!((place.len(), seen.len()), (3 * chains, 3 * chains), "each once");
    for n in 0..chains {
        let [a, b, c] = ["a", "b", "c"].map(|link| place[format!("{n} {link}").as_str()]);
        assert!(a < b && b < c, "chain {n}: {a} {b} {c}");
    }
}

async fn shuffled(lanes: usize, members: usize) {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let setup = Setup::new();
    let (apps, running) = setup::members(&setup, lanes, members).await;
    let mut events = chains(60);
    events.shuffle(&mut random);
    for part in events.chunks(37) {
        publish(&apps[0], &part.iter().collect::<Vec<_>>()).await;
    }
    eventually("all are handled", || async { seen(&apps[0]).await.len() == 180 }).await;
    in_order(&seen(&apps[0]).await, 60);
    nothing_is_left(&apps[0]).await;
    for running in running {
        stop(running).await;
    }
}

#[tokio::test]
async fn no_effect_comes_before_its_cause_in_one_lane() {
    Box::pin(shuffled(1, 1)).await;
}

#[tokio::test]
async fn no_effect_comes_before_its_cause_in_four_lanes() {
    Box::pin(shuffled(4, 1)).await;
}

#[tokio::test]
async fn no_effect_comes_before_its_cause_with_two_members() {
    Box::pin(shuffled(2, 2)).await;
}

#[tokio::test]
async fn partitions_that_move_to_another_member_take_what_waits_along() {
    let setup = Setup::new();
    let first = setup.open(analytics()).await;
    let running = first.start().await.unwrap();
    let events = chains(20);
    let (causes, effects): (Vec<&Published>, Vec<&Published>) =
        events.iter().partition(|event| event.causes.is_empty());
    publish(&first, &effects).await;
    crate::setup::eventually_waiting(&first, 40).await;
    let second = setup.open(analytics()).await;
    let joined = second.start().await.unwrap();
    publish(&second, &causes[..10]).await;
    eventually("half is handled", || async { seen(&second).await.len() >= 15 }).await;
    stop(running).await;
    publish(&second, &causes[10..]).await;
    eventually("all are handled", || async { seen(&second).await.len() == 60 }).await;
    in_order(&seen(&second).await, 20);
    stop(joined).await;
}
