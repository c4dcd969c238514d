//! The embedded topics: which records go, and which are kept for whom.

use crate::common::{Do, Shop, settled, stop};
use crate::ledger::{Ledger, ledger, with_ledger};
use crate::unreadable::send;
use factstream::broker::Embedded;
use factstream::sql::now;
use factstream::{App, Consumer, params};
use jiff::Timestamp;

const ALL: u32 = 1_000;
const NOTED: (&str, &[u8]) = ("event_type", b"OrderNoted");

fn consumer(group: &str) -> Consumer {
    Consumer::new(group).handler(Ledger::default())
}

async fn send_notes(app: &App, from: u32, to: u32) {
    for number in from..to {
        send(app, "k", format!(r#"{{"text":"{number}"}}"#).as_bytes(), &[NOTED]).await;
    }
}

async fn trim(app: &App, before: Timestamp) -> u64 {
    Embedded::new(app.store().clone()).trim(before, ALL).await.unwrap()
}

/// What is left, by its offset.
async fn left(app: &App) -> Vec<i64> {
    let rows = app.store().query("SELECT record_offset FROM fs_records ORDER BY 1", params![]).await.unwrap();
    rows.iter().map(|row| row.get("record_offset").unwrap()).collect()
}

/// When a record was published, by the store's clock; each of these in a transaction of its own, so each at another time.
async fn published_at(app: &App, offset: i64) -> Timestamp {
    let sql = "SELECT published_at FROM fs_records WHERE record_offset = $1";
    let rows = app.store().query(sql, params![offset]).await.unwrap();
    rows[0].get("published_at").unwrap()
}

#[tokio::test]
async fn only_records_that_are_old_enough_themselves_are_deleted() {
    let shop = Shop::new();
    let app = with_ledger(&shop, consumer("one")).await;
    let running = app.start().await.unwrap();
    send_notes(&app, 0, 6).await;
    settled(&app).await;
    let before = published_at(&app, 3).await;
    assert_eq!(trim(&app, before).await, 3);
    assert_eq!(left(&app).await, [3, 4, 5]);
    assert_eq!(trim(&app, before).await, 0);
    stop(running).await;
}

#[tokio::test]
async fn a_group_that_is_declared_and_has_not_read_holds_its_records_in_a_namespace_too() {
    for namespace in ["", "held."] {
        let shop = Shop::new();
        drop(with_ledger(&shop, consumer("one")).await);
        let open = async |group: &str| {
            let builder = shop.builder().namespace(namespace).consumer(consumer(group));
            builder.open().await.unwrap()
        };
        let (app, other) = (open("one").await, open("other").await); // which does not run
        let running = app.start().await.unwrap();
        send_notes(&app, 0, 3).await;
        settled(&app).await;
        assert_eq!(trim(&app, now()).await, 0, "{namespace:?}");
        stop(running).await;
        let running = other.start().await.unwrap();
        settled(&other).await;
        assert_eq!(ledger(&other, "k").await, ["0", "1", "2", "0", "1", "2"], "each group handles each");
        assert_eq!(trim(&other, now()).await, 3);
        stop(running).await;
    }
}

#[tokio::test]
async fn a_group_that_begins_after_deleted_records_is_told_how_many_it_missed() {
    let shop = Shop::new();
    let app = with_ledger(&shop, consumer("one")).await;
    let running = app.start().await.unwrap();
    send_notes(&app, 0, 4).await;
    settled(&app).await;
    assert_eq!(trim(&app, now()).await, 4);
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    stop(running).await;
    let late = shop.builder().consumer(consumer("one")).consumer(consumer("late")).open().await.unwrap();
    let running = late.start().await.unwrap();
    settled(&late).await;
    let status = late.status().await;
    let missed = |name: &str| status.handlers.iter().find(|handler| handler.name == name).unwrap().missed;
    assert_eq!((missed("one"), missed("late")), (Some(0), Some(4)), "{status:?}");
    stop(running).await;
}
