//! A consumer that cannot go on where it stands halts, says so, and is not started again and again.

use crate::common::{Shop, eventually, settled, stop};
use crate::ledger::{Ledger, ledger, with_ledger};
use crate::unreadable::send;
use factstream::broker::Partition;
use factstream::status::{HandlerStatus, State};
use factstream::{App, Consumer, ResetTo, params};

const NOTED: (&str, &[u8]) = ("event_type", b"OrderNoted");

async fn send_note(app: &App, text: &str) {
    send(app, "k", format!(r#"{{"text":"{text}"}}"#).as_bytes(), &[NOTED]).await;
}

/// A consumer that has read two records and does not run.
async fn read_two(shop: &Shop) -> App {
    let app = with_ledger(shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    for text in ["0", "1"] {
        send_note(&app, text).await;
    }
    settled(&app).await;
    stop(running).await;
    app
}

async fn write(app: &App, sql: &str) {
    let mut tx = app.begin().await.unwrap();
    assert_eq!(tx.sql(sql, params![]).await.unwrap(), 1, "{sql}");
    tx.commit().await.unwrap();
}

async fn handler(app: &App) -> HandlerStatus {
    app.status().await.handlers.remove(0)
}

async fn halted(app: &App) -> String {
    let is_halted = || async { matches!(handler(app).await.state, State::Halted { .. }) };
    eventually("it is halted", is_halted).await;
    let HandlerStatus { state: State::Halted { reason }, restarts: 0, .. } = handler(app).await else {
        panic!("it is started again: {:?}", handler(app).await);
    };
    reason
}

#[tokio::test]
async fn a_consumer_whose_unread_records_are_gone_halts_until_it_is_set_to_another_place() {
    let shop = Shop::new();
    let app = read_two(&shop).await;
    write(&app, "UPDATE fs_partitions SET oldest_offset = 5, next_offset = 5 WHERE next_offset = 2").await;
    let running = app.start().await.unwrap();
    let reason = halted(&app).await;
    assert!(reason.contains("3 records were deleted unread"), "{reason}");
    assert!(reason.contains("handlers reset ledger --to"), "{reason}");
    send_note(&app, "5").await;
    let rows = app.store().query("SELECT partition FROM fs_records", params![]).await.unwrap();
    let partition = Partition { topic: "orders.events".into(), partition: rows[0].get("partition").unwrap() };
    for (wrong, says) in [(4, "has the offsets 5 to 6"), (7, "not 7")] {
        let refused = app.plan_reset("ledger", ResetTo::Offsets(vec![(partition.clone(), wrong)])).await;
        assert!(refused.as_ref().is_err_and(|error| error.to_string().contains(says)), "{refused:?}");
    }
    assert_eq!(ledger(&app, "k").await, ["0", "1"], "it does not jump");
    let plan = app.plan_reset("ledger", ResetTo::Offsets(vec![(partition, 5)])).await.unwrap();
    assert_eq!(plan.steps.len(), 1, "other partitions stay where they are: {plan:?}");
    app.reset(&plan, false).await.unwrap();
    settled(&app).await;
    assert_eq!(ledger(&app, "k").await, ["0", "1", "5"]);
    stop(running).await;
}

#[tokio::test]
async fn a_halted_consumer_goes_on_by_itself_when_what_was_lost_is_back() {
    let shop = Shop::new();
    let app = read_two(&shop).await;
    write(&app, "UPDATE fs_group_offsets SET next_offset = 10 WHERE next_offset = 2").await;
    let running = app.start().await.unwrap();
    let reason = halted(&app).await;
    assert!(reason.contains("the partition ends at 2"), "{reason}");
    write(&app, "UPDATE fs_group_offsets SET next_offset = 2 WHERE next_offset = 10").await;
    send_note(&app, "2").await;
    settled(&app).await;
    assert_eq!(ledger(&app, "k").await, ["0", "1", "2"]);
    stop(running).await;
}
