//! Read models and SQL projections on a real SQLite file: G10 and G11.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Do, Order, OrderEvent, OrderRow, Shop, eventually, fill, folded, settled, stop, stored};
use factstream::{Envelope, Error, Failure, Fold, Projection, Projector, ReadModel, Rows, SortOrder, params};
use std::time::Duration;

#[tokio::test]
async fn rows_equal_a_fold_over_the_log_and_a_write_can_be_read_at_once() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    let position = fill(&app, 0..20).await;
    let row = app.read::<OrderRow>().wait_for(position).get("o-018").await.unwrap().unwrap();
    assert_eq!((row.status.as_str(), row.amount, row.notes.len()), ("CLOSED", 18, 1));
    assert_eq!(app.read::<OrderRow>().get("o-999").await.unwrap(), None);
    settled(&app).await;
    assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
    stop(running).await;
}

#[tokio::test]
async fn waiting_for_what_does_not_come_ends_at_the_deadline_and_says_where_it_is() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    fill(&app, 0..1).await;
    let read = app.read::<OrderRow>().wait_for(2).deadline(Duration::from_millis(50));
    let error = read.get("o-000").await.unwrap_err();
    assert!(matches!(error, Error::WaitTimedOut { position: 2, reached: 0, .. }), "{error}");
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap_or_a_repeat() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    fill(&app, 0..25).await;
    settled(&app).await;
    for (column, direction) in [("order_id", SortOrder::Ascending), ("status", SortOrder::Descending)] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut read = app.read::<OrderRow>().order_by(column, direction).limit(7);
            if let Some(cursor) = cursor {
                read = read.after(cursor);
            }
            let page = read.list().await.unwrap();
            assert!(page.rows.len() <= 7);
            seen.extend(page.rows.into_iter().map(|row| row.order_id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, (0..25).map(|n| format!("o-{n:03}")).collect::<Vec<_>>());
    }
    let open = app.read::<OrderRow>().filter_sql("status = $1 AND amount < $2", params!["OPEN", 10]);
    assert_eq!(open.list().await.unwrap().rows.len(), 5);
    assert_eq!(app.read::<OrderRow>().filter(|row| row.status.eq("OPEN")).count().await.unwrap(), 12);
    let error = app.read::<OrderRow>().after("not a cursor").list().await.unwrap_err();
    assert!(matches!(error, Error::Cursor));
    stop(running).await;
}

#[tokio::test]
async fn a_checkpoint_and_its_rows_are_together_whatever_is_killed() {
    let shop = Shop::new();
    {
        let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
        fill(&app, 0..40).await;
    }
    // Started and dropped in the middle again and again; dropping aborts whatever is under way.
    for _ in 0..10 {
        let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
        let running = app.start().await.unwrap();
        let before = app.read::<OrderRow>().count().await.unwrap();
        eventually("some rows come", || async {
            let now = app.read::<OrderRow>().count().await.unwrap();
            now > before || now == 40
        })
        .await;
        drop(running);
    }
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    settled(&app).await;
    assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
    stop(running).await;
}

#[tokio::test]
async fn a_fold_that_fails_stops_its_key_only_and_waiting_for_it_says_which_letter() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("bad", Do::Create(1)).await.unwrap();
    let failing = app.execute("bad", Do::Note("fold panics".into())).await.unwrap();
    let parked = app.execute("bad", Do::Close).await.unwrap();
    app.execute("good", Do::Create(2)).await.unwrap();
    let closed = app.execute("good", Do::Close).await.unwrap();
    let good = app.read::<OrderRow>().wait_for(closed.position).get("good").await.unwrap().unwrap();
    assert_eq!(good.status, "CLOSED");
    let read = || app.read::<OrderRow>().deadline(Duration::from_millis(100));
    for position in [failing.position, parked.position] {
        let error = read().wait_for(position).get("bad").await.unwrap_err();
        assert!(error.to_string().contains("dead letter 1"), "{error}");
    }
    assert_eq!(app.read::<OrderRow>().get("bad").await.unwrap().unwrap().status, "OPEN");

    // A rebuild that can fold it (here: one that never meets it) frees the key.
    app.dead_letters().edit(1, r#"{"text":"fine now"}"#).await.unwrap();
    let bad = app.read::<OrderRow>().wait_for(parked.position).get("bad").await.unwrap().unwrap();
    assert_eq!((bad.status.as_str(), bad.notes), ("CLOSED", vec!["fine now".to_owned()]));
    stop(running).await;
}

#[tokio::test]
async fn a_rebuild_beside_a_running_projection_ends_in_the_rows_of_a_fold() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    fill(&app, 0..100).await;
    settled(&app).await;
    // Rows that no fold gives: a rebuild must not keep them.
    let mut tx = app.begin().await.unwrap();
    tx.sql("UPDATE order_rows SET status = 'WRONG'", params![]).await.unwrap();
    tx.sql("DELETE FROM order_rows WHERE order_id = 'o-007'", params![]).await.unwrap();
    tx.commit().await.unwrap();
    let writer = tokio::spawn({
        let app = app.clone();
        async move {
            for n in 0..200 {
                app.execute(format!("new-{n}"), Do::Create(n)).await.unwrap();
            }
        }
    });
    let mut told = Vec::new();
    let done = app.rebuild("order_rows", |progress| told.push(progress)).await.unwrap();
    assert!(done.position >= 250 && !told.is_empty());
    writer.await.unwrap();
    settled(&app).await;
    assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
    let error = app.rebuild("nope", |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("order_rows"), "{error}");
    stop(running).await;
}

/// The same table, with one more column.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
struct WiderRow {
    #[column(key)]
    order_id: String,
    amount: i64,
    #[column(index)]
    status: String,
    events: u64,
}

impl Fold for WiderRow {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match &event.event {
            OrderEvent::Created { amount, .. } => {
                let order_id = event.aggregate_id.clone();
                Some(Self { order_id, amount: *amount, status: "OPEN".into(), events: 1 })
            }
            _ => row.map(|row| Self { events: row.events + 1, ..row }),
        }
    }
}

#[tokio::test]
async fn a_read_model_whose_shape_has_changed_is_rebuilt_when_the_application_opens() {
    let shop = Shop::new();
    {
        let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
        let running = app.start().await.unwrap();
        fill(&app, 0..10).await;
        settled(&app).await;
        stop(running).await;
    }
    let app = shop.builder().read_model::<WiderRow>().open().await.unwrap();
    assert_eq!(app.read::<WiderRow>().get("o-004").await.unwrap().unwrap().events, 3);
    assert_eq!(app.read::<WiderRow>().count().await.unwrap(), 10);
}

/// Names that are words of SQL's own.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order")]
struct Words {
    #[column(key)]
    user: String,
    #[column(index)]
    group: i64,
    select: i64,
}

impl Fold for Words {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match &event.event {
            OrderEvent::Created { amount, .. } => {
                Some(Self { user: event.aggregate_id.clone(), group: amount % 3, select: 0 })
            }
            OrderEvent::Noted { .. } => row.map(|row| Self { select: row.select + 1, ..row }),
            OrderEvent::Closed => None,
        }
    }
}

#[tokio::test]
async fn a_table_and_its_columns_may_be_called_by_words_of_sqls_own() {
    let shop = Shop::new();
    let open = || async { shop.builder().read_model::<Words>().open().await.unwrap() };
    let app = open().await;
    let running = app.start().await.unwrap();
    fill(&app, 0..25).await;
    assert_eq!(stored::<Words>(&app).await, folded(&app).await);
    app.rebuild("order", |_| {}).await.unwrap();
    stop(running).await;

    let app = open().await;
    let running = app.start().await.unwrap();
    fill(&app, 25..30).await;
    assert_eq!(stored::<Words>(&app).await, folded(&app).await);
    assert_eq!(app.read::<Words>().get("o-001").await.unwrap().unwrap().select, 1);
    let read = || app.read::<Words>().order_by("group", SortOrder::Descending);
    let first = read().limit(5).list().await.unwrap();
    let rest = read().after(first.next.unwrap()).list().await.unwrap();
    let groups: Vec<i64> = first.rows.iter().chain(&rest.rows).map(|row| row.group).collect();
    assert_eq!(groups, [[2; 5], [1; 5], [0; 5]].concat());
    assert_eq!(app.read::<Words>().filter_sql("\"group\" = $1", params![2]).count().await.unwrap(), 5);
    stop(running).await;
}

struct Totals;

impl Projector for Totals {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, tx: &mut Rows) -> Result<(), Failure> {
        if let OrderEvent::Created { customer_id, amount } = &event.event {
            let table = tx.table("totals");
            let sql = format!(
                "INSERT INTO {table} (customer_id, cents) VALUES ($1, $2) \
                 ON CONFLICT (customer_id) DO UPDATE SET cents = {table}.cents + excluded.cents"
            );
            tx.sql(&sql, params![customer_id, *amount]).await?;
        }
        Ok(())
    }
}

fn totals() -> Projection {
    let create = "CREATE TABLE {table} (customer_id TEXT PRIMARY KEY, cents BIGINT NOT NULL)";
    Projection::new("totals", Totals).table(
        "totals",
        create,
        &["CREATE INDEX {table}_cents ON {table} (cents)"],
    )
}

#[tokio::test]
async fn a_projection_in_sql_counts_each_event_once_and_can_be_rebuilt() {
    let shop = Shop::new();
    let app = shop.builder().projection(totals()).open().await.unwrap();
    let running = app.start().await.unwrap();
    fill(&app, 0..30).await;
    settled(&app).await;
    let cents = || async {
        let rows = app.store().query("SELECT cents FROM totals", params![]).await.unwrap();
        rows[0].get::<i64>("cents").unwrap()
    };
    let wanted: i64 = (0..30).sum();
    assert_eq!(cents().await, wanted);
    app.rebuild("totals", |_| {}).await.unwrap();
    assert_eq!(cents().await, wanted);
    app.execute("one-more", Do::Create(1_000)).await.unwrap();
    settled(&app).await;
    assert_eq!(cents().await, wanted + 1_000);
    stop(running).await;
}

#[tokio::test]
async fn a_table_whose_name_would_be_another_one_in_quotes_is_refused() {
    let shop = Shop::new();
    for name in ["Totals", "a-b", "a.b", "", "1a", "events", "fs_leases", "a\"b", &"a".repeat(49)] {
        let projection =
            Projection::new("totals", Totals).table(name, "CREATE TABLE {table} (n BIGINT)", &[]);
        let error = shop.builder().projection(projection).open().await.err().unwrap();
        assert!(error.to_string().contains("cannot be a table's name"), "{name}: {error}");
    }
}

#[tokio::test]
async fn two_handlers_of_one_name_and_a_private_event_for_a_consumer_are_refused() {
    let shop = Shop::new();
    let error = shop.builder().projection(totals()).projection(totals()).open().await.err().unwrap();
    assert!(error.to_string().contains("two handlers are called \"totals\""), "{error}");
    let _ = Order::default();
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "tallies")]
struct Tally {
    #[column(key)]
    order_id: String,
    cents: u64,
}

impl Fold for Tally {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match event.event {
            OrderEvent::Created { amount, .. } => {
                Some(Self { order_id: event.aggregate_id.clone(), cents: amount.cast_unsigned() })
            }
            _ => row,
        }
    }
}

#[tokio::test]
async fn a_number_that_no_column_can_hold_is_a_dead_letter_and_no_smaller_number() {
    let shop = Shop::new();
    let app = shop.builder().read_model::<Tally>().open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("beyond", Do::Create(-1)).await.unwrap();
    app.execute("largest", Do::Create(i64::MAX)).await.unwrap();
    settled(&app).await;
    let rows = app.read::<Tally>().list().await.unwrap().rows;
    assert_eq!(rows, [Tally { order_id: "largest".into(), cents: i64::MAX.cast_unsigned() }]);
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let reason = letters[0].reason.clone().unwrap_or_default();
    assert!(letters.len() == 1 && reason.contains("9223372036854775807"), "{letters:?}");
    stop(running).await;
}
