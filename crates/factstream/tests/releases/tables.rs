//! A projection gets another table, or another name for one.

use crate::builds::{caught_up, number};
use crate::common::{Do, OrderEvent, Shop, stop};
use factstream::{App, Envelope, Error, Failure, Projection, Projector, Rows, params};

/// A row for each event, in each of its tables.
struct Copies(&'static [&'static str]);

impl Projector for Copies {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, tx: &mut Rows) -> Result<(), Failure> {
        for table in self.0 {
            let sql = format!("INSERT INTO {} (id) VALUES ($1)", tx.table(table));
            tx.sql(&sql, params![&event.event_id]).await?;
        }
        Ok(())
    }
}

fn copies(tables: &'static [&'static str], version: u32) -> Projection {
    let projection = Projection::new("copies", Copies(tables)).version(version);
    tables.iter().fold(projection, |projection, table| {
        projection.table(table, "CREATE TABLE {table} (id TEXT NOT NULL)", &[])
    })
}

/// Opens a release, records an event, and waits until it is in the rows.
async fn run(shop: &Shop, tables: &'static [&'static str], version: u32) -> App {
    let app = shop.builder().projection(copies(tables, version)).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Note("x".into())).await.unwrap();
    caught_up(&app, "copies").await;
    stop(running).await;
    app
}

async fn count(app: &App, table: &str) -> u64 {
    number(app, &format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn a_second_and_a_renamed_table_have_all_rows() {
    let shop = Shop::new();
    run(&shop, &["copies_a"], 1).await;
    let app = run(&shop, &["copies_a", "copies_b"], 1).await;
    assert_eq!((count(&app, "copies_a").await, count(&app, "copies_b").await), (2, 2));
    let app = run(&shop, &["copies_renamed"], 1).await;
    assert_eq!(count(&app, "copies_renamed").await, 3);
}

#[tokio::test]
async fn a_raised_version_makes_the_rows_anew() {
    let shop = Shop::new();
    let app = run(&shop, &["copies_a"], 1).await;
    crate::builds::execute(&app, "DELETE FROM copies_a").await;
    let app = run(&shop, &["copies_a"], 2).await;
    assert_eq!(count(&app, "copies_a").await, 2);
}

#[tokio::test]
async fn a_table_belongs_to_one_handler() {
    let shop = Shop::new();
    let other = Projection::new("other", Copies(&["copies_a"])).table(
        "copies_a",
        "CREATE TABLE {table} (id TEXT)",
        &[],
    );
    let refused = shop.builder().projection(copies(&["copies_a"], 1)).projection(other).open().await;
    assert!(matches!(refused.err().unwrap(), Error::Wiring(text) if text.contains("copies and by other")));
    run(&shop, &["copies_a"], 1).await;
    let other = Projection::new("other", Copies(&["copies_a"])).table(
        "copies_a",
        "CREATE TABLE {table} (id TEXT)",
        &[],
    );
    let refused = shop.builder().projection(other).open().await;
    assert!(
        matches!(refused.err().unwrap(), Error::Wiring(text) if text.contains("belongs to the handler copies"))
    );
}
