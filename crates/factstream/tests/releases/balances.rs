//! A read model of which one event touches several rows, with a key of two columns.

use crate::common::{Do, OrderEvent, Shop, eventually, quick, settled, stop};
use factstream::{App, Envelope, Error, FoldRows, Keys, ReadModel, Retry};
use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(true);

/// What each order and all of them come to, by kind.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "balances")]
struct Balance {
    #[column(key)]
    of: String,
    #[column(key)]
    kind: i64,
    events: i64,
    last: String,
}

impl FoldRows for Balance {
    type Events = OrderEvent;

    fn keys(event: &Envelope<OrderEvent>) -> Keys<(String, i64)> {
        let kind = matches!(event.event, OrderEvent::Noted { .. }).into();
        let own = (event.aggregate_id.clone(), kind);
        Keys::from([own.clone(), ("all".to_owned(), kind), own])
    }

    fn fold_row(row: Option<Self>, key: &(String, i64), event: &Envelope<OrderEvent>) -> Option<Self> {
        let fails = matches!(&event.event, OrderEvent::Noted { text } if text == "broken");
        assert!(!fails || !BROKEN.load(Ordering::SeqCst), "a bug in this release");
        let events = row.map_or(0, |row| row.events) + 1;
        Some(Self { of: key.0.clone(), kind: key.1, events, last: event.aggregate_id.clone() })
    }

    fn retry() -> Retry {
        quick(1)
    }
}

async fn rows(app: &App) -> Vec<Balance> {
    app.read::<Balance>().limit(1_000).list().await.unwrap().rows
}

#[tokio::test]
async fn each_row_has_each_event_once_and_in_the_order_of_the_log_through_a_redrive_and_a_rebuild() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<Balance>().open().await.unwrap();
    let running = app.start().await.unwrap();
    for n in 0..40 {
        app.execute(format!("o-{n:02}"), Do::Create(n)).await.unwrap();
    }
    app.execute("o-01", Do::Note("broken".into())).await.unwrap();
    let behind = app.execute("o-02", Do::Note("fine".into())).await.unwrap();
    eventually("a dead letter", || async { app.status().await.handlers[0].dead_letters == Some(1) }).await;
    settled(&app).await;
    assert_eq!(app.status().await.handlers[0].parked, Some(1), "it touches a row of the failed one");
    let read =
        app.read::<Balance>().wait_for(behind.position).deadline(std::time::Duration::from_millis(100));
    assert!(matches!(read.get(("o-02".to_owned(), 1)).await, Err(Error::WaitTimedOut { .. })));
    BROKEN.store(false, Ordering::SeqCst);
    app.dead_letters().redrive_all(None).await.unwrap();
    let all = || app.read::<Balance>().wait_for(behind.position).get(("all".to_owned(), 1));
    let noted = all().await.unwrap().unwrap();
    assert_eq!((noted.events, noted.last.as_str()), (2, "o-02"), "in the order of the log");
    let live = rows(&app).await;
    assert_eq!(live.len(), 40 + 2 + 2);
    app.rebuild("balances", |_| {}).await.unwrap();
    assert_eq!(rows(&app).await, live);
    stop(running).await;
}
