//! Tables of consumers and projections, and rows that are read from them.

use crate::common::{Do, OrderEvent, Shop, settled, stop};
use factstream::{App, Consumer, Envelope, Failure, Handler, Projection, Projector, ReadModel, Rows, Tx};

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "spent")]
struct Spent {
    #[column(key)]
    customer: String,
    #[column(key)]
    large: bool,
    #[column(index)]
    cents: i64,
    note: Option<String>,
}

async fn count(event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
    let OrderEvent::Created { customer_id, amount } = &event.event else { return Ok(()) };
    let key = (customer_id.clone(), *amount >= 5);
    let before = rows.get::<Spent>(key.clone()).await?.map_or(0, |row| row.cents);
    let note = (before == 0).then(|| "first".to_owned());
    rows.put(&Spent { customer: key.0, large: key.1, cents: before + amount, note }).await?;
    Ok(())
}

struct Count;

impl Handler for Count {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        count(event, tx).await
    }
}

impl Projector for Count {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
        count(event, rows).await
    }
}

async fn projecting(shop: &Shop) -> App {
    shop.builder().projection(Projection::new("spending", Count).table_of::<Spent>()).open().await.unwrap()
}

fn key(large: bool) -> (String, bool) {
    ("c-1".to_owned(), large)
}

#[tokio::test]
async fn rows_of_a_projection_are_read_as_soon_as_they_show_a_position() {
    let shop = Shop::new();
    let app = projecting(&shop).await;
    let running = app.start().await.unwrap();
    for (n, cents) in [1, 2, 30, 40].into_iter().enumerate() {
        let position = app.execute(format!("o-{n}"), Do::Create(cents)).await.unwrap().position;
        let row = app.read::<Spent>().wait_for(position).get(key(cents >= 5)).await.unwrap().unwrap();
        assert!(row.cents >= cents, "{row:?}");
    }
    let rows = || async { app.read::<Spent>().list().await.unwrap().rows };
    let before = rows().await;
    assert_eq!(before.iter().map(|row| (row.large, row.cents)).collect::<Vec<_>>(), [(false, 3), (true, 70)]);
    app.rebuild("spending", |_| {}).await.unwrap();
    assert_eq!(rows().await, before);
    // Whoever only reads needs not declare it.
    let reader = shop.open().await;
    let position = app.execute("o-9", Do::Create(5)).await.unwrap().position;
    let row = reader.read::<Spent>().wait_for(position).get(key(true)).await.unwrap().unwrap();
    assert_eq!(row.cents, 75);
    stop(running).await;
}

#[tokio::test]
async fn conditions_are_joined_and_hold_for_every_kind_of_read() {
    let shop = Shop::new();
    let app = projecting(&shop).await;
    let running = app.start().await.unwrap();
    for (n, cents) in [1, 30].into_iter().enumerate() {
        app.execute(format!("o-{n}"), Do::Create(cents)).await.unwrap();
    }
    settled(&app).await;
    let read = || app.read::<Spent>().filter(|row| row.customer.eq("c-1"));
    assert_eq!(read().count().await.unwrap(), 2);
    assert_eq!(read().filter(|row| row.large.eq(true)).count().await.unwrap(), 1);
    assert_eq!(
        read().filter(|row| row.customer.eq("c-2")).count().await.unwrap(),
        0,
        "the first one still holds"
    );
    let both = read().filter_sql("cents > $1 -- with a comment", factstream::params![0]);
    let both = both.filter_sql(format!("cents < ${}", 1), factstream::params![20]);
    assert_eq!(both.list().await.unwrap().rows.len(), 1);
    assert!(read().filter(|row| row.customer.eq("c-2")).get(key(true)).await.unwrap().is_none());
    assert!(read().filter(|row| row.note.eq("first".to_owned())).get(key(true)).await.unwrap().is_some());
    assert_eq!(read().filter(|row| row.note.is_null().or(row.cents.gt(29))).count().await.unwrap(), 1);
    let page = read().limit(1).list().await.unwrap();
    let next = read().limit(1).after(page.next.unwrap()).list().await.unwrap();
    assert!(!page.rows[0].large && next.rows[0].large && next.next.is_none());
    stop(running).await;
}

fn spending() -> Consumer {
    Consumer::new("spending").table_of::<Spent>().handler(Count)
}

#[tokio::test]
async fn a_consumers_table_is_made_kept_and_read_and_no_rebuild_takes_it() {
    let shop = Shop::new();
    let app = shop.builder().consumer(spending()).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(7)).await.unwrap();
    settled(&app).await;
    stop(running).await;
    let app = shop.builder().consumer(spending()).open().await.unwrap();
    assert_eq!(app.read::<Spent>().get(key(true)).await.unwrap().unwrap().cents, 7);
    let refused = app.read::<Spent>().wait_for(1).get(key(true)).await.unwrap_err().to_string();
    assert!(refused.contains("filled by a consumer"), "{refused}");
    assert!(app.projections().is_empty() && app.rebuild("spending", |_| {}).await.is_err());
    // Declared otherwise: its rows cannot be made anew.
    let wider =
        Consumer::new("spending").handler(Count).table("spent", "CREATE TABLE {table} (a TEXT, b TEXT)", &[]);
    let refused = shop.builder().consumer(wider).open().await.err().unwrap().to_string();
    assert!(refused.contains("ALTER TABLE") && refused.contains("fs_read_models"), "{refused}");
}

#[tokio::test]
async fn a_consumer_takes_over_a_table_that_was_made_by_hand() {
    let shop = Shop::new();
    let app = shop.builder().consumer(Consumer::new("spending").handler(Count)).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    let create = "CREATE TABLE spent (customer TEXT, large BOOLEAN, cents BIGINT, note TEXT, PRIMARY KEY (customer, large))";
    tx.sql(create, factstream::params![]).await.unwrap();
    tx.put(&Spent { customer: "c-1".into(), large: true, cents: 1, note: None }).await.unwrap();
    tx.commit().await.unwrap();
    let app = shop.builder().consumer(spending()).open().await.unwrap();
    assert_eq!(app.read::<Spent>().get(key(true)).await.unwrap().unwrap().cents, 1);
}
