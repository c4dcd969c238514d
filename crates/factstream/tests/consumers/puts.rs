//! Rows that handlers put: written together, seen by what comes after, gone with a transaction that fails (G6).

use crate::common::{OrderEvent, Shop, settled, stop};
use crate::ledger::note;
use factstream::{App, Consumer, Envelope, Failure, Handler, ReadModel, Tx, params};

#[derive(ReadModel, Clone)]
#[read_model(table = "last_notes")]
struct LastNote {
    #[column(key)]
    order_id: String,
    text: String,
    notes: i64,
}

/// Counts the notes of an order by what it put before.
struct Notes;

impl Handler for Notes {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let OrderEvent::Noted { text } = &event.event else { return Ok(()) };
        let order_id = event.aggregate_id.clone();
        let found = tx.query("SELECT notes FROM last_notes WHERE order_id = $1", params![&order_id]).await?;
        let notes: i64 = found.first().map(|row| row.get("notes")).transpose()?.unwrap_or(0);
        tx.put(&LastNote { order_id: order_id.clone(), text: "overwritten".into(), notes: -1 }).await?;
        tx.put(&LastNote { order_id, text: text.clone(), notes: notes + 1 }).await?;
        if text == "fail" {
            return Err(Failure::permanent("told to"));
        }
        Ok(())
    }
}

async fn rows(app: &App) -> Vec<(String, String, i64)> {
    let sql = "SELECT order_id, text, notes FROM last_notes ORDER BY order_id";
    let rows = app.store().query(sql, params![]).await.unwrap();
    rows.iter().map(|row| (row.at(0).unwrap(), row.at(1).unwrap(), row.at(2).unwrap())).collect()
}

#[tokio::test]
async fn rows_that_are_put_are_seen_by_later_statements_and_go_with_what_fails() {
    let shop = Shop::new();
    let app = shop.builder().consumer(Consumer::new("notes").handler(Notes)).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    let create =
        "CREATE TABLE last_notes (order_id TEXT PRIMARY KEY, text TEXT NOT NULL, notes BIGINT NOT NULL)";
    tx.sql(create, params![]).await.unwrap();
    tx.commit().await.unwrap();
    for n in 0..90 {
        let text = if n == 46 { "fail".to_owned() } else { n.to_string() };
        note(&app, &format!("o-{}", n % 3), &text).await;
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    let row = |id: &str, text: &str, notes| (id.to_owned(), text.to_owned(), notes);
    assert_eq!(rows(&app).await, [row("o-0", "87", 30), row("o-1", "43", 15), row("o-2", "89", 30)]);
    stop(running).await;
}
