//! Timers of a process: inputs like others, in the order of the instance, gone with its end.

use crate::checkout::settled;
use crate::common::{Do, Order, OrderEvent, Shop, eventually, stop};
use factstream::testing::process;
use factstream::{Acts, App, Correlate, Envelope, Failure, Input, Process, Start, params};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(3_600);

/// Closes an order that is not noted as paid in time.
#[derive(Default, Serialize, Deserialize, Debug, PartialEq)]
struct Payment {
    seen: Vec<String>,
}

impl Process for Payment {
    const NAME: &'static str = "payment";
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        Correlate::start(&event.aggregate_id)
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
        match input {
            Input::Event(event) => {
                self.seen.push(event.event_type.clone());
                match &event.event {
                    OrderEvent::Created { amount, .. } => {
                        acts.timer("due").after(if *amount == 0 { SOON } else { LATE });
                        acts.command::<Order, _>(&event.aggregate_id, Do::Note("created".into()));
                    }
                    OrderEvent::Noted { text } if text == "sooner" => acts.timer("due").after(SOON),
                    OrderEvent::Noted { text } if text == "paid" => acts.cancel("due"),
                    OrderEvent::Noted { .. } => {}
                    OrderEvent::Closed => acts.end(),
                }
            }
            Input::Timer(name) => {
                self.seen.push(format!("timer {name}"));
                acts.timer("again").after(LATE);
                acts.append::<Order>("late", [OrderEvent::Closed]);
            }
            _ => {}
        }
        Ok(())
    }
}

async fn payments(shop: &Shop) -> App {
    shop.builder().process::<Payment>().from(Start::Beginning).open().await.unwrap()
}

async fn seen(app: &App, id: &str) -> Vec<String> {
    app.process::<Payment>().get(id).await.unwrap().map(|instance| instance.state.seen).unwrap_or_default()
}

async fn pending(app: &App) -> Vec<String> {
    let sql = "SELECT timer_key FROM fs_timers WHERE handler = $1 ORDER BY timer_key";
    let rows = app.store().query(sql, params![Payment::NAME]).await.unwrap();
    rows.iter().map(|row| row.get("timer_key").unwrap()).collect()
}

#[tokio::test]
async fn a_timer_is_an_input_once_and_one_that_is_cancelled_never_is() {
    let shop = Shop::new();
    let app = payments(&shop).await;
    let running = app.start().await.unwrap();
    app.execute("paid", Do::Create(1)).await.unwrap();
    app.execute("moved", Do::Create(1)).await.unwrap();
    app.execute("closed", Do::Create(1)).await.unwrap();
    settled(&app).await;
    assert_eq!(pending(&app).await, ["closed", "moved", "paid"]);
    app.execute("paid", Do::Note("paid".into())).await.unwrap();
    app.execute("moved", Do::Note("sooner".into())).await.unwrap();
    app.execute("closed", Do::Close).await.unwrap();
    app.execute("late-1", Do::Create(0)).await.unwrap();
    for id in ["moved", "late-1"] {
        let due = async || seen(&app, id).await.contains(&"timer due".to_owned());
        eventually("the timer is an input", due).await;
    }
    settled(&app).await;
    let mut late = seen(&app, "late-1").await;
    late.sort(); // the timer may be due before the note is read
    assert_eq!(late, ["OrderCreated", "OrderNoted", "timer due"]);
    assert_eq!(pending(&app).await, ["late-1", "moved"], "cancelled, and gone with the end of the process");
    let closed = app.events::<Order>("late", 0, 10).await.unwrap();
    assert_eq!(closed.len(), 2, "what a timer asks for is done once");
    let live = app.process::<Payment>().get("moved").await.unwrap().unwrap();
    let made_again = app.process::<Payment>().state_at("moved", u64::MAX).await.unwrap().unwrap();
    assert_eq!(made_again, live.state);
    stop(running).await;
}

#[tokio::test]
async fn of_inputs_that_are_taken_together_the_last_one_says_what_becomes_of_a_timer() {
    let shop = Shop::new();
    let app = payments(&shop).await;
    for id in ["ended", "paid", "set-again"] {
        app.execute(id, Do::Create(1)).await.unwrap();
    }
    app.execute("ended", Do::Close).await.unwrap();
    app.execute("paid", Do::Note("sooner".into())).await.unwrap();
    app.execute("paid", Do::Note("paid".into())).await.unwrap();
    app.execute("set-again", Do::Note("paid".into())).await.unwrap();
    app.execute("set-again", Do::Note("sooner".into())).await.unwrap();
    let running = app.start().await.unwrap();
    let due = async || seen(&app, "set-again").await.contains(&"timer due".to_owned());
    eventually("the timer is an input", due).await;
    settled(&app).await;
    assert_eq!(pending(&app).await, ["set-again"], "the one that it set when it was due");
    for id in ["ended", "paid"] {
        assert!(!seen(&app, id).await.contains(&"timer due".to_owned()), "{id}");
    }
    stop(running).await;
}

#[tokio::test]
async fn what_fell_due_while_nothing_ran_is_an_input_at_the_next_start() {
    let shop = Shop::new();
    let app = payments(&shop).await;
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    stop(running).await;
    let mut tx = app.begin().await.unwrap();
    let past = "UPDATE fs_timers SET wakes_at = '2020-01-01T00:00:00.000000Z' WHERE handler = $1";
    tx.sql(past, params![Payment::NAME]).await.unwrap();
    tx.commit().await.unwrap();
    let running = app.start().await.unwrap();
    let due = async || seen(&app, "o-1").await.contains(&"timer due".to_owned());
    eventually("the timer is an input", due).await;
    stop(running).await;
}

#[test]
fn a_process_is_tested_without_a_store() {
    let created = |amount| Envelope::of("o-1", OrderEvent::Created { customer_id: "c".into(), amount });
    let noted = |text: &str| Envelope::of("o-1", OrderEvent::Noted { text: text.into() });
    let playing = process::<Payment>("o-1")
        .when(created(1))
        .then(|acts| {
            acts.timer("due").after(LATE);
            acts.command::<Order, _>("o-1", Do::Note("created".into()));
        })
        .when(noted("paid"))
        .then(|acts| acts.cancel("due"))
        .when_timer("due")
        .then(|acts| {
            acts.timer("again").after(LATE);
            acts.append::<Order>("late", [OrderEvent::Closed]);
        })
        .given([Envelope::of("o-1", OrderEvent::Closed)]);
    assert!(playing.has_ended());
    let seen = playing.when(noted("later")).then_nothing().state().seen.len();
    assert_eq!(seen, 4);
}

/// Sets two timers that are due at once; the first cancels the second, and sets another one anew.
#[derive(Default, Serialize, Deserialize)]
struct Together {
    seen: Vec<String>,
}

impl Process for Together {
    const NAME: &'static str = "together";
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        Correlate::start(&event.aggregate_id)
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
        let Input::Timer(name) = input else {
            for name in ["a", "b", "c"] {
                acts.timer(name).at(jiff::Timestamp::UNIX_EPOCH);
            }
            return Ok(());
        };
        self.seen.push(name.to_owned());
        if name == "a" {
            acts.cancel("b");
            acts.timer("c").after(LATE);
        }
        Ok(())
    }
}

#[tokio::test]
async fn of_timers_that_are_due_together_one_that_the_first_cancels_or_moves_is_no_input() {
    let shop = Shop::new();
    let app = shop.builder().process::<Together>().from(Start::Beginning).open().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    let running = app.start().await.unwrap();
    let seen =
        async || app.process::<Together>().get("o-1").await.unwrap().map(|instance| instance.state.seen);
    eventually("a timer is an input", async || seen().await.is_some_and(|seen| !seen.is_empty())).await;
    settled(&app).await;
    assert_eq!(seen().await.unwrap(), ["a"]);
    let left = app.timers().of(Together::NAME, "o-1").list().await.unwrap();
    assert_eq!(left.iter().map(|timer| timer.name.as_str()).collect::<Vec<_>>(), ["c"]);
    stop(running).await;
}
