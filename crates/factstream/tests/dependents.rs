//! What people put on a read model's table outlives its rebuilds: views, indexes, triggers, grants.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{OrderRow, Shop, fill, settled, stop};
use factstream::sql::Params;
use factstream::{App, Envelope, Error, Fold, ReadModel, params};

/// The same table after a change of the struct: `amount` is called `cents`.
#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_rows")]
struct Changed {
    #[column(key)]
    order_id: String,
    cents: i64,
    #[column(index)]
    state: String,
}

impl Fold for Changed {
    type Events = common::OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<common::OrderEvent>) -> Option<Self> {
        match &event.event {
            common::OrderEvent::Created { amount, .. } => {
                Some(Self { order_id: event.aggregate_id.clone(), cents: *amount, state: "OPEN".into() })
            }
            _ => row,
        }
    }
}

fn on_postgres() -> bool {
    std::env::var("FACTSTREAM_TEST_STORE").as_deref() == Ok("postgres")
}

async fn run(app: &App, statements: &[&str]) {
    let mut tx = app.begin().await.unwrap();
    for statement in statements {
        tx.sql(statement, params![]).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    tx.commit().await.unwrap();
}

async fn numbers(app: &App, sql: &str, params: Params) -> Vec<i64> {
    let rows = app.store().query(sql, params).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.at(0).unwrap()).collect()
}

/// An open app with orders in its read model.
async fn filled(shop: &Shop) -> App {
    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    let running = app.start().await.unwrap();
    fill(&app, 0..10).await;
    settled(&app).await;
    stop(running).await;
    app
}

#[tokio::test]
async fn views_on_views_and_indexes_and_triggers_outlive_a_rebuild() {
    let shop = Shop::new();
    let app = filled(&shop).await;
    run(
        &app,
        &[
            "CREATE VIEW big_orders AS SELECT order_id, amount FROM order_rows WHERE amount >= 5",
            "CREATE VIEW biggest AS SELECT max(amount) AS amount FROM big_orders",
            "CREATE VIEW top_orders AS SELECT b.amount FROM big_orders b, biggest t WHERE b.amount = t.amount",
            "CREATE UNIQUE INDEX orders_by_amount ON order_rows (amount, order_id)",
            "CREATE TABLE seen (order_id TEXT)",
        ],
    )
    .await;
    let trigger: &[&str] = match on_postgres() {
        true => &[
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN INSERT INTO seen VALUES (NEW.order_id); RETURN NEW; END'",
            "CREATE TRIGGER see AFTER INSERT ON order_rows FOR EACH ROW EXECUTE FUNCTION see()",
            "CREATE MATERIALIZED VIEW totals_of_orders AS SELECT status, sum(amount)::bigint AS cents FROM order_rows GROUP BY status",
            "CREATE UNIQUE INDEX totals_by_status ON totals_of_orders (status)",
        ],
        false => &[
            "CREATE TRIGGER see AFTER INSERT ON order_rows BEGIN INSERT INTO seen VALUES (NEW.order_id); END",
        ],
    };
    run(&app, trigger).await;
    for _ in 0..2 {
        app.rebuild("order_rows", |_| {}).await.unwrap();
    }
    assert_eq!(
        numbers(&app, "SELECT amount FROM big_orders ORDER BY amount", params![]).await,
        [5, 6, 7, 8, 9]
    );
    assert_eq!(numbers(&app, "SELECT amount FROM top_orders", params![]).await, [9]);
    let index = match on_postgres() {
        true => "SELECT count(*) FROM pg_indexes WHERE indexname = $1",
        false => "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = $1",
    };
    for name in ["orders_by_amount", "order_rows_status"] {
        assert_eq!(numbers(&app, index, params![name]).await, [1], "the index {name}");
    }
    if on_postgres() {
        assert_eq!(numbers(&app, index, params!["totals_by_status"]).await, [1]);
        assert_eq!(numbers(&app, "SELECT sum(cents)::bigint FROM totals_of_orders", params![]).await, [45]);
    }
    assert_eq!(numbers(&app, "SELECT count(*) FROM seen", params![]).await, [0], "a rebuild is no news");
    let running = app.start().await.unwrap();
    fill(&app, 10..11).await;
    settled(&app).await;
    assert_eq!(numbers(&app, "SELECT count(*) FROM seen", params![]).await, [1], "the trigger works");
    stop(running).await;
}

#[tokio::test]
async fn a_changed_struct_keeps_what_fits_and_names_what_does_not() {
    let shop = Shop::new();
    let app = filled(&shop).await;
    run(
        &app,
        &[
            "CREATE VIEW ids AS SELECT order_id FROM order_rows",
            "CREATE INDEX by_id_backwards ON order_rows (order_id DESC)",
        ],
    )
    .await;
    drop(app);
    let app = shop.builder().read_model::<Changed>().open().await.unwrap();
    assert_eq!(app.store().query("SELECT order_id FROM ids", params![]).await.unwrap().len(), 10);
    assert_eq!(app.read::<Changed>().list().await.unwrap().rows.len(), 10);
    drop(app);

    let app = shop.builder().read_model::<OrderRow>().open().await.unwrap();
    for (make, undo) in [
        ("CREATE VIEW amounts AS SELECT amount FROM order_rows", "DROP VIEW amounts"),
        ("CREATE INDEX by_amount ON order_rows (amount)", "DROP INDEX by_amount"),
    ] {
        run(&app, &[make]).await;
        let error = shop.builder().read_model::<Changed>().open().await.err().unwrap();
        let name = undo.rsplit(' ').next().unwrap();
        let Error::Dependent { what, .. } = &error else { panic!("{error}") };
        assert!(what.ends_with(name) && error.to_string().contains("Drop it"), "{error}");
        assert_eq!(
            app.read::<OrderRow>().list().await.unwrap().rows.len(),
            10,
            "the live table is as it was"
        );
        run(&app, &[undo]).await;
    }
    shop.builder().read_model::<Changed>().open().await.unwrap();
}

#[tokio::test]
async fn grants_and_policies_outlive_a_rebuild() {
    if !on_postgres() {
        return; // SQLite has none
    }
    let shop = Shop::new();
    let app = filled(&shop).await;
    let role = format!("reader_{}", uuid::Uuid::now_v7().simple());
    let statements = [
        format!("CREATE ROLE {role}"),
        "CREATE VIEW amounts AS SELECT amount FROM order_rows".to_owned(),
        format!("GRANT SELECT ON order_rows TO {role} WITH GRANT OPTION"),
        format!("GRANT UPDATE (status) ON order_rows TO {role}"),
        format!("GRANT SELECT ON amounts TO {role}"),
        "ALTER TABLE order_rows ENABLE ROW LEVEL SECURITY".to_owned(),
        format!("CREATE POLICY open_ones ON order_rows FOR SELECT TO {role} USING (status = 'OPEN')"),
    ];
    run(&app, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
    app.rebuild("order_rows", |_| {}).await.unwrap();
    let sql = "SELECT (has_table_privilege($1, 'order_rows', 'SELECT WITH GRANT OPTION') \
                 AND has_column_privilege($1, 'order_rows', 'status', 'UPDATE') \
                 AND NOT has_column_privilege($1, 'order_rows', 'amount', 'UPDATE') \
                 AND has_table_privilege($1, 'amounts', 'SELECT'))::int::bigint";
    assert_eq!(numbers(&app, sql, params![&role]).await, [1]);
    let mut tx = app.begin().await.unwrap();
    tx.sql(&format!("SET LOCAL ROLE {role}"), params![]).await.unwrap();
    let seen = tx.query("SELECT order_id FROM order_rows", params![]).await.unwrap();
    drop(tx);
    assert_eq!(seen.len(), 5, "the policy still hides what is closed");
    run(&app, &[&format!("DROP OWNED BY {role}"), &format!("DROP ROLE {role}")]).await;
}
