//! A read model in several parts: shared by the processes of a service, one owner for each part.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Do, OrderEvent, OrderRow, Shop, eventually, fill, folded, settled, stop, stored};
use factstream::{App, Envelope, Fold, ReadModel};

const SHARDS: u32 = 4;

/// As [`OrderRow`], in four parts.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_parts")]
struct Parts {
    #[column(key)]
    order_id: String,
    status: String,
    notes: i64,
}

fn next(row: Option<Parts>, event: &Envelope<OrderEvent>) -> Option<Parts> {
    let row = OrderRow::fold(
        row.map(|row| OrderRow {
            order_id: row.order_id,
            status: row.status,
            amount: 0,
            notes: vec!["x".into(); usize::try_from(row.notes).unwrap()],
        }),
        event,
    );
    row.map(|row| Parts { order_id: row.order_id, status: row.status, notes: row.notes.len() as i64 })
}

impl Fold for Parts {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        next(row, event)
    }

    fn shards() -> u32 {
        SHARDS
    }
}

/// The same table in a build that does not split it.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_parts")]
struct Whole {
    #[column(key)]
    order_id: String,
    status: String,
    notes: i64,
}

impl Fold for Whole {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let row = row.map(|Self { order_id, status, notes }| Parts { order_id, status, notes });
        next(row, event).map(|Parts { order_id, status, notes }| Self { order_id, status, notes })
    }
}

async fn open(shop: &Shop) -> App {
    shop.builder().read_model::<Parts>().open().await.unwrap()
}

async fn handled(app: &App) -> u64 {
    let status = app.status().await;
    status.handlers.iter().map(|handler| handler.handled).sum()
}

/// How many leases on parts each owner has, smallest first.
async fn owned(app: &App) -> Vec<u64> {
    let sql =
        "SELECT count(*) AS parts FROM fs_leases WHERE name LIKE 'handler order_parts#%' GROUP BY owner";
    let rows = app.store().query(sql, factstream::params![]).await.unwrap();
    let mut owned: Vec<u64> = rows.iter().map(|row| row.get::<u64>("parts").unwrap()).collect();
    owned.sort_unstable();
    owned
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_parts_and_the_rows_equal_a_fold() {
    let shop = Shop::new();
    let one = open(&shop).await;
    let running_one = one.start().await.unwrap();
    fill(&one, 0..20).await;
    eventually("the first process owns all", || async { owned(&one).await == [4] }).await;

    let other = open(&shop).await;
    let running_other = other.start().await.unwrap();
    eventually("each owns two", || async { owned(&one).await == [2, 2] }).await;
    fill(&one, 20..120).await;
    // Read your writes, whichever process has the part.
    for n in 120..130 {
        let id = format!("o-{n:03}");
        let done = one.execute(&id, Do::Create(1)).await.unwrap();
        assert!(other.read::<Parts>().wait_for(done.position).get(&id).await.unwrap().is_some());
        assert!(one.read::<Parts>().wait_for(done.position).get(&id).await.unwrap().is_some());
    }
    settled(&one).await;
    assert_eq!(stored::<Parts>(&one).await, folded(&one).await);
    assert!(handled(&one).await > 0 && handled(&other).await > 0, "both had work");

    // A rebuild beside both, then one process leaves and the other goes on with all.
    one.rebuild("order_parts", |_| {}).await.unwrap();
    fill(&other, 130..150).await;
    stop(running_other).await;
    eventually("one owns all again", || async { owned(&one).await == [4] }).await;
    fill(&one, 150..170).await;
    settled(&one).await;
    assert_eq!(stored::<Parts>(&one).await, folded(&one).await);
    assert_eq!(stored::<Parts>(&one).await.len(), 170);
    stop(running_one).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_parts_rebuilds_the_read_model() {
    let shop = Shop::new();
    let app = open(&shop).await;
    let running = app.start().await.unwrap();
    fill(&app, 0..30).await;
    settled(&app).await;
    let wanted = folded::<Parts>(&app).await;
    stop(running).await;
    drop(app);

    let app = shop.builder().read_model::<Whole>().open().await.unwrap();
    let running = app.start().await.unwrap();
    fill(&app, 30..40).await;
    settled(&app).await;
    let rows = app.read::<Whole>().limit(100).list().await.unwrap().rows;
    assert_eq!(rows.len(), 40);
    for row in rows.iter().filter(|row| wanted.contains_key(&row.order_id)) {
        let Parts { status, notes, .. } = &wanted[&row.order_id];
        assert_eq!((&row.status, &row.notes), (status, notes), "folded once");
    }
    stop(running).await;
    drop(app);

    let app = open(&shop).await;
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(stored::<Parts>(&app).await, folded(&app).await);
    stop(running).await;
}
