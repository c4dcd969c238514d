//! Lanes and shards change between releases, also after a crash: effects once, none forgotten (G6).

use crate::builds::{Effects, caught_up, effects, make_effects, write_effect};
use crate::common::{Do, OrderEvent, Shop, eventually, stop};
use crate::processes::{child, url};
use factstream::{App, Consumer, Envelope, Failure, Projection, Projector, Rows};

/// Takes effect, but for one order, at which the process dies as by kill -9 after the others have committed.
struct Dies;

const EVENTS: usize = 20;

fn ids() -> impl Iterator<Item = String> {
    (0..EVENTS).map(|n| format!("o-{n}"))
}

/// An order in the last of four lanes.
fn deadly() -> String {
    ids().find(|id| factstream::partition::partition_of(id.as_bytes(), 4) == 3).unwrap()
}

impl Projector for Dies {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, tx: &mut Rows) -> Result<(), Failure> {
        if event.aggregate_id == deadly() {
            let app = App::builder(url()).service("shop").open().await?;
            eventually("the other lanes have committed", || async { effects(&app, "p").await.0 >= 10 }).await;
            std::process::exit(9);
        }
        write_effect("p", event, tx).await
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that the test beside it starts"]
async fn child_that_dies_with_four_lanes() {
    let projection = Projection::new("p", Dies).concurrency(4);
    let app = App::builder(url()).service("shop").projection(projection).open().await.unwrap();
    let _running = app.start().await.unwrap();
    std::future::pending::<()>().await;
}

async fn recorded(shop: &Shop) -> App {
    make_effects(shop).await;
    let app = shop.open().await;
    let mut tx = app.begin().await.unwrap();
    for id in ids() {
        tx.append::<crate::common::Order>(&id, &[OrderEvent::Noted { text: "x".into() }]).await.unwrap();
    }
    tx.commit().await.unwrap();
    app
}

/// SQLite has one writer, so there the other lanes cannot commit while the deadly one waits in its transaction.
#[tokio::test]
async fn four_lanes_a_crash_and_then_one_lane_take_effect_once() {
    let shop = Shop::new();
    let app = recorded(&shop).await;
    if shop.url().starts_with("postgres") {
        let status = child("divisions::child_that_dies_with_four_lanes", &shop).status().unwrap();
        assert_eq!(status.code(), Some(9));
        assert!(effects(&app, "p").await.0 >= 10);
    } else {
        // What the crash leaves behind: effects and marks of some events, and a checkpoint before them.
        let projection = Projection::new("p", Effects("p")).concurrency(4);
        let four = shop.builder().projection(projection).open().await.unwrap();
        let running = four.start().await.unwrap();
        caught_up(&four, "p").await;
        stop(running).await;
        crate::builds::execute(&app, "UPDATE fs_checkpoints SET position = 0 WHERE handler = 'p'").await;
    }
    let one = shop.builder().projection(Projection::new("p", Effects("p"))).open().await.unwrap();
    let running = one.start().await.unwrap();
    caught_up(&one, "p").await;
    assert_eq!(effects(&one, "p").await, (EVENTS as u64, EVENTS as u64));
    stop(running).await;
}

#[tokio::test]
async fn other_numbers_of_shards_handle_each_event_once() {
    let shop = Shop::new();
    let app = recorded(&shop).await;
    for (round, shards) in [1, 2, 1, 3, 2].into_iter().enumerate() {
        let projection = Projection::new("p", Effects("p")).shards(shards);
        let divided = shop.builder().projection(projection).open().await.unwrap();
        let running = divided.start().await.unwrap();
        caught_up(&divided, "p").await;
        stop(running).await;
        let events = (EVENTS + round) as u64;
        assert_eq!(effects(&app, "p").await, (events, events), "with {shards} shards");
        app.execute(format!("more-{round}"), Do::Note("x".into())).await.unwrap();
    }
}

#[tokio::test]
async fn shards_that_stand_at_different_places_are_divided_anew_without_a_second_effect() {
    let shop = Shop::new();
    let app = recorded(&shop).await;
    let two = shop.builder().projection(Projection::new("p", Effects("p")).shards(2)).open().await.unwrap();
    // The second shard has handled everything, the first nothing.
    let mut tx = app.begin().await.unwrap();
    let mut handled = 0;
    for event in app.read_log(0, 100).await.unwrap() {
        if factstream::partition::partition_of(event.aggregate_id.as_bytes(), 2) == 1 {
            write_effect("p", &event.envelope().unwrap(), &mut tx).await.unwrap();
            handled += 1;
        }
    }
    let sql = "UPDATE fs_checkpoints SET position = $1 WHERE handler = 'p' AND shard = 1";
    tx.sql(sql, factstream::params![EVENTS]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(handled > 0 && handled < EVENTS);
    drop(two);
    for shards in [3, 4, 1] {
        let projection = Projection::new("p", Effects("p")).shards(shards);
        let divided = shop.builder().projection(projection).open().await.unwrap();
        if shards != 1 {
            continue; // replaced before it has handled anything
        }
        let running = divided.start().await.unwrap();
        caught_up(&divided, "p").await;
        stop(running).await;
    }
    assert_eq!(effects(&app, "p").await, (EVENTS as u64, EVENTS as u64));
}

#[tokio::test]
async fn a_consumers_lanes_change_without_a_second_effect() {
    let shop = Shop::new();
    make_effects(&shop).await;
    for (round, lanes) in [1, 4, 1].into_iter().enumerate() {
        let consumer = Consumer::new("c").handler(Effects("c")).concurrency(lanes);
        let app = shop.builder().consumer(consumer).open().await.unwrap();
        let running = app.start().await.unwrap();
        for n in 0..EVENTS {
            app.execute(format!("o-{n}"), Do::Note("x".into())).await.unwrap();
        }
        let events = ((round + 1) * EVENTS) as u64;
        eventually("all are handled", || async { effects(&app, "c").await == (events, events) }).await;
        stop(running).await;
    }
}

fn divided(shop: &Shop, shards: u32) -> factstream::Builder {
    shop.builder().projection(Projection::new("p", Effects("p")).shards(shards))
}

/// A process of another release stands by: what would be its share of the parts is not kept for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_shared_by_the_processes_of_the_release_that_runs_alone() {
    let shop = Shop::new();
    let app = recorded(&shop).await;
    let earlier = divided(&shop, 2).open().await.unwrap();
    stop(earlier.start().await.unwrap()).await;
    let current = divided(&shop, 3).open().await.unwrap();
    let running = current.start().await.unwrap();
    caught_up(&current, "p").await;
    // Started again while the other release runs.
    let earlier = divided(&shop, 2).open().await.unwrap();
    let standing_by = earlier.start().await.unwrap();
    eventually("both processes know of each other", || async {
        let processes = current.processes(std::time::Duration::ZERO).await.unwrap();
        let states = processes.iter().flat_map(|process| process.handlers.values());
        let states: Vec<&str> = states.map(|doing| doing.state.as_str()).collect();
        states.contains(&"outdated") && states.contains(&"live")
    })
    .await;
    for round in 0..3 {
        for id in ids() {
            app.execute(&id, Do::Note(format!("round {round}"))).await.unwrap();
        }
        caught_up(&current, "p").await;
    }
    assert_eq!(effects(&app, "p").await, (4 * EVENTS as u64, 4 * EVENTS as u64));
    stop(standing_by).await;
    stop(running).await;
}

/// Lanes are no part of a build's digest, but who has more of them than are marked for stands by, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_more_lanes_take_over_when_those_with_one_have_left() {
    let shop = Shop::new();
    let app = recorded(&shop).await;
    let with_lanes = |lanes| shop.builder().projection(Projection::new("p", Effects("p")).concurrency(lanes));
    let one = with_lanes(1).open().await.unwrap();
    let running = one.start().await.unwrap();
    caught_up(&one, "p").await;
    let (two, three) = (with_lanes(4).open().await.unwrap(), with_lanes(4).open().await.unwrap());
    let (running_two, running_three) = (two.start().await.unwrap(), three.start().await.unwrap());
    app.execute("o-0", Do::Note("before".into())).await.unwrap();
    caught_up(&one, "p").await;
    stop(running).await;
    app.execute("o-0", Do::Note("after".into())).await.unwrap();
    eventually("one of those with lanes goes on", || async {
        effects(&app, "p").await.0 == EVENTS as u64 + 2
    })
    .await;
    stop(running_two).await;
    stop(running_three).await;
}
