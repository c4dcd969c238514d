//! A store that the release before handlers had an identity has made: it goes on where it stood.

use crate::builds::{Effects, V1, V2, caught_up, effects, number, with};
use crate::common::{Do, Shop, folded, settled, stop, stored};
use factstream::Projection;
use factstream::envelope::{NewEvent, StreamId};
use factstream::params;
use factstream::sql::now;
use factstream::store::{Append, Expected, Store};
use std::sync::Arc;
use uuid::Uuid;

const EVENTS: u64 = 10;
/// What that release ran, as it left the files.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../src/sql/migrations/0001_framework.sql"),
    include_str!("../../src/sql/migrations/0002_mirror.sql"),
];
const TABLE: &str = "(order_id TEXT PRIMARY KEY NOT NULL, amount BIGINT NOT NULL)";

async fn store(shop: &Shop) -> Arc<dyn Store> {
    #[cfg(feature = "postgres")]
    if shop.url().starts_with("postgres") {
        return Arc::new(factstream::postgres::PostgresStore::open_url(&shop.url()).await.unwrap());
    }
    Arc::new(factstream::sqlite::SqliteStore::open_url(&shop.url()).await.unwrap())
}

fn created(n: u64) -> Append {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "OrderCreated".into(),
        schema_version: 1,
        data: format!("{{\"customer_id\":\"c-1\",\"amount\":{n}}}").into(),
        metadata: "{\"source\":\"shop\",\"topic\":\"orders.events\"}".into(),
        timestamp: now(),
    };
    let stream = StreamId::new("order", format!("o-{n}")).unwrap();
    Append { stream, expected: Expected::Exact(0), events: vec![event] }
}

/// Ten orders, all of them handled by everybody, with these checkpoints.
async fn old_store(shop: &Shop, checkpoints: &[(&str, u64)]) {
    let store = store(shop).await;
    for n in 0..EVENTS {
        store.append(created(n), None).await.unwrap();
    }
    let mut tx = store.begin().await.unwrap();
    let mut statements: Vec<String> =
        MIGRATIONS.iter().flat_map(|script| script.split(";\n")).map(str::to_owned).collect();
    statements
        .retain(|statement| statement.lines().any(|line| !line.trim().is_empty() && !line.starts_with("--")));
    let at = "2026-01-01T00:00:00.000000Z";
    statements.extend([
        format!("INSERT INTO fs_migrations (component, version, applied_at) VALUES ('framework', 1, '{at}'), ('framework', 2, '{at}')"),
        format!("CREATE TABLE order_rows {TABLE}"),
        format!("INSERT INTO fs_read_models (table_name, shape) VALUES ('order_rows', 'CREATE TABLE {{table}} {TABLE}')"),
        "CREATE TABLE effects (who TEXT NOT NULL, event_id TEXT NOT NULL, event_type TEXT NOT NULL)".to_owned(),
    ]);
    for statement in statements {
        tx.execute(&statement, params![]).await.unwrap();
    }
    for (handler, position) in checkpoints {
        let sql = "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES ($1, $2, $3)";
        tx.execute(sql, params![*handler, *position, at]).await.unwrap();
    }
    for event in store.read_log(0, 100).await.unwrap() {
        let amount: u64 = event.aggregate_id[2..].parse().unwrap();
        let sql = "INSERT INTO order_rows (order_id, amount) VALUES ($1, $2)";
        tx.execute(sql, params![&event.aggregate_id, amount]).await.unwrap();
        for who in ["123", "p"] {
            let sql = "INSERT INTO effects (who, event_id, event_type) VALUES ($1, $2, 'OrderCreated')";
            tx.execute(sql, params![who, event.event_id.to_string()]).await.unwrap();
        }
    }
    tx.commit(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_existing_store_goes_on_where_it_stood() {
    let shop = Shop::new();
    let checkpoints = [
        ("relay", 10),
        ("order_rows", 10),
        ("order_rows (rebuild)", 4),
        ("123", 10),
        ("p#1/2", 10),
        ("p#2/2", 10),
    ];
    old_store(&shop, &checkpoints).await;
    let app = with::<V1>(&shop)
        .projection(Projection::new("123", Effects("123")))
        .projection(Projection::new("p", Effects("p")).shards(2))
        .open()
        .await
        .unwrap();
    let generations =
        app.handlers().await.unwrap().into_iter().map(|found| (found.handler, found.generation));
    let known =
        [("123", 1), ("order_rows", 1), ("p", 2)].map(|(name, generation)| (name.to_owned(), generation));
    assert_eq!(generations.collect::<Vec<_>>(), known, "nothing was taken over or rebuilt");
    let running = app.start().await.unwrap();
    app.execute("o-x", Do::Create(1)).await.unwrap();
    settled(&app).await;
    for handler in ["order_rows", "123", "p"] {
        caught_up(&app, handler).await;
    }
    assert_eq!(effects(&app, "123").await, (EVENTS + 1, EVENTS + 1));
    assert_eq!(effects(&app, "p").await, (EVENTS + 1, EVENTS + 1));
    assert_eq!(number(&app, "SELECT count(*) FROM fs_records").await, 1, "the relay goes on where it stood");
    assert_eq!(number(&app, "SELECT count(*) FROM fs_checkpoints WHERE handler LIKE '%(rebuild)'").await, 0);
    assert_eq!(stored::<V1>(&app).await, folded(&app).await);
    stop(running).await;
}

#[tokio::test]
async fn shards_and_columns_may_change_with_the_upgrade() {
    let shop = Shop::new();
    old_store(&shop, &[("relay", 10), ("order_rows", 10), ("123", 10), ("p", 10)]).await;
    let projection = Projection::new("p", Effects("p")).shards(3);
    let app = with::<V2>(&shop).projection(projection).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-x", Do::Create(1)).await.unwrap();
    caught_up(&app, "p").await;
    assert_eq!(effects(&app, "p").await, (EVENTS + 1, EVENTS + 1));
    assert_eq!(stored::<V2>(&app).await, folded(&app).await);
    stop(running).await;
}

/// What was decided about letters before decisions were kept by themselves.
#[tokio::test]
async fn what_was_discarded_and_edited_before_the_upgrade_stays_so_in_a_rebuild() {
    let shop = Shop::new();
    old_store(&shop, &[("relay", 10), ("order_rows", 10), ("123", 10), ("p", 10)]).await;
    let store = store(&shop).await;
    let mut tx = store.begin().await.unwrap();
    let edited = br#"{"customer_id":"c-1","amount":700}"#.to_vec();
    for (id, state, position) in [(1_u64, "discarded", 3_u64), (2, "handled", 4)] {
        let sql = "INSERT INTO fs_dead_letters (id, handler, event_key, state, event_id, topic, partition, record_offset, \
                   value, headers, attempts, died, created_at, updated_at) \
                   VALUES ($1, 'order_rows', 'k', $2, 'e', 'log', 0, $3, $4, '[]', 1, $5, $6, $6)";
        tx.execute(sql, params![id, state, position, edited.clone(), true, now()]).await.unwrap();
        let action = if state == "handled" { "edit" } else { "discard" };
        let sql = "INSERT INTO fs_dead_letter_history (letter_id, entry, at, action, detail) VALUES ($1, 1, $2, $3, '{}')";
        tx.execute(sql, params![id, now(), action]).await.unwrap();
    }
    tx.execute("DELETE FROM order_rows WHERE order_id = 'o-2'", params![]).await.unwrap();
    tx.execute("UPDATE order_rows SET amount = 700 WHERE order_id = 'o-3'", params![]).await.unwrap();
    tx.commit(Vec::new()).await.unwrap();
    let app = with::<V1>(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    settled(&app).await;
    let live = stored::<V1>(&app).await;
    app.rebuild("order_rows", |_| {}).await.unwrap();
    let rebuilt = stored::<V1>(&app).await;
    assert_eq!(rebuilt, live);
    assert_eq!((rebuilt.get("o-2"), rebuilt["o-3"].amount), (None, 700));
    stop(running).await;
}
