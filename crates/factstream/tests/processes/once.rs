//! A reaction takes effect once, whatever dies in between, and by however many processes it is run.

use crate::checkout::*;
use crate::common::{Do, Shop, eventually, stop};
use factstream::{App, Process, Start, params};

async fn create(app: &App, orders: std::ops::Range<usize>) {
    for n in orders {
        app.execute(format!("o-{n}"), Do::Create(1)).await.unwrap();
    }
}

#[tokio::test]
async fn events_commands_state_and_history_of_a_reaction_are_there_together_and_once() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    create(&app, 0..8).await;
    settled(&app).await;
    assert_eq!(reserved(&app).await, 8);
    for n in 0..8 {
        let id = format!("o-{n}");
        let instance = app.process::<Checkout>().get(&id).await.unwrap().unwrap();
        assert_eq!((instance.state.seen, instance.version), (well(&id), 3));
        let history = app.process::<Checkout>().history(&id, 0, 10).await.unwrap();
        let acts: Vec<usize> = history.iter().map(|step| step.acts.len()).collect();
        assert_eq!(acts, [1, 1, 0], "{history:?}");
        let events = app.events::<crate::common::Order>(&id, 0, 10).await.unwrap();
        assert_eq!(events.len(), 2, "the order was noted once");
    }
    stop(running).await;
}

#[tokio::test]
async fn what_is_dropped_between_reaction_and_commit_is_done_once_afterwards() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    create(&app, 0..16).await;
    for _ in 0..4 {
        let app = checkout(&shop).open().await.unwrap();
        let running = app.start().await.unwrap();
        let head = app.head().await.unwrap();
        eventually("some of it is done", || async {
            app.head().await.unwrap() > head || reserved(&app).await == 16
        })
        .await;
        drop(running); // everything stops where it is
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(reserved(&app).await, 16);
    for n in 0..16 {
        let id = format!("o-{n}");
        assert_eq!(app.process::<Checkout>().get(&id).await.unwrap().unwrap().state.seen, well(&id));
    }
    stop(running).await;
}

#[tokio::test]
async fn two_processes_in_lanes_react_once_and_racing_first_events_start_one_instance() {
    let shop = Shop::new();
    let lanes =
        || shop.builder().aggregate::<Stock>().process::<Checkout>().concurrency(4).from(Start::Beginning);
    let (one, two) = (lanes().open().await.unwrap(), lanes().open().await.unwrap());
    let (running_one, running_two) = (one.start().await.unwrap(), two.start().await.unwrap());
    // Both write first events of the same instances at the same time: whichever comes first starts it.
    let notes = |app: App, from: usize| async move {
        for n in from..from + 6 {
            app.execute(format!("o-{n}"), Do::Create(1)).await.unwrap();
            app.execute(format!("p-{n}"), Do::Note(format!("both o-{n} o-{}", n + 1))).await.unwrap();
        }
    };
    tokio::join!(notes(one.clone(), 0), notes(two.clone(), 6));
    drop(running_one);
    settled(&two).await;
    assert_eq!(reserved(&two).await, 12);
    let sql = "SELECT count(*) AS found FROM fs_processes WHERE process = $1";
    let rows = two.store().query(sql, factstream::params![Checkout::NAME]).await.unwrap();
    assert_eq!(rows[0].get::<u64>("found").unwrap(), 12, "one instance for each order");
    for n in 0..12 {
        let instance = two.process::<Checkout>().get(&format!("o-{n}")).await.unwrap().unwrap();
        let firsts = instance.state.seen.iter().filter(|seen| seen.starts_with("OrderCreated")).count();
        let both = instance.state.seen.iter().filter(|seen| seen.starts_with("OrderNoted both")).count();
        assert!(firsts == 1 && both <= 2, "{instance:?}");
    }
    stop(running_two).await;
}

#[tokio::test]
async fn a_process_that_starts_now_leaves_out_what_was_before_and_goes_on_where_it_stands() {
    let shop = Shop::new();
    let plain = shop.builder().aggregate::<Stock>().open().await.unwrap();
    create(&plain, 0..3).await;
    let now = || shop.builder().aggregate::<Stock>().process::<Checkout>().from(Start::Now);
    let app = now().open().await.unwrap();
    create(&app, 3..5).await;
    drop(app);
    let app = now().open().await.unwrap(); // again: it is known by now, and stands where it stood
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(reserved(&app).await, 2);
    assert!(app.process::<Checkout>().get("o-2").await.unwrap().is_none());
    stop(running).await;
}

/// Has the store refuse that pieces are reserved: it is told so at the commit, after everything else is written.
async fn refuse_reservations(app: &App, refuses: bool) {
    let on_postgres = std::env::var("FACTSTREAM_TEST_STORE").as_deref() == Ok("postgres");
    let statements: &[&str] = match (refuses, on_postgres) {
        (true, true) => &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not now''; END'",
            "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.event_type = 'StockReserved') \
             EXECUTE FUNCTION refuse()",
        ],
        (true, false) => {
            &["CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.event_type = 'StockReserved' \
                            BEGIN SELECT RAISE(ABORT, 'not now'); END"]
        }
        (false, true) => &["DROP TRIGGER refuse ON events", "DROP FUNCTION refuse()"],
        (false, false) => &["DROP TRIGGER refuse"],
    };
    let mut tx = app.begin().await.unwrap();
    for statement in statements {
        tx.sql(statement, params![]).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_the_store_refuses_at_the_commit_leaves_nothing_behind_and_is_done_once_it_may() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    refuse_reservations(&app, true).await;
    create(&app, 0..1).await;
    let running = app.start().await.unwrap();
    settled(&app).await;
    let dead = app.dead_letters().list(None, false, 0).await.unwrap();
    assert!(dead.iter().any(|letter| letter.key == "o-0" && letter.state == "dead"), "{dead:?}");
    let checkouts = app.process::<Checkout>();
    assert_eq!(checkouts.get("o-0").await.unwrap(), None, "the input was not taken");
    assert_eq!(checkouts.history("o-0", 0, 10).await.unwrap(), []);
    assert_eq!(reserved(&app).await, 0);
    refuse_reservations(&app, false).await;
    app.dead_letters().redrive(dead[0].id).await.unwrap();
    settled(&app).await;
    assert_eq!(checkouts.get("o-0").await.unwrap().unwrap().state.seen, well("o-0"));
    assert_eq!(reserved(&app).await, 1);
    stop(running).await;
}
