//! A namespace before every topic and group: a store has one, and keeps it.

use crate::common::{Shop, fill, settled, stop};
use crate::ledger::Ledger;
use factstream::{App, Builder, Consumer, Error, params};

fn with_ledger(shop: &Shop) -> Builder {
    shop.builder().consumer(Consumer::new("ledger").handler(Ledger::default()))
}

async fn texts(app: &App, sql: &str) -> Vec<String> {
    let rows = app.store().query(sql, params![]).await.unwrap();
    rows.iter().map(|row| row.get("name").unwrap()).collect()
}

async fn refusal(builder: Builder) -> String {
    let error = builder.open().await.expect_err("it is refused");
    assert!(matches!(error, Error::Wiring(_) | Error::Broker(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_store_keeps_the_namespace_that_it_was_started_with_and_refuses_another() {
    let shop = Shop::new();
    let app = with_ledger(&shop).namespace("eu.").open().await.unwrap();
    let other = with_ledger(&shop).namespace("us.").open().await.unwrap(); // nothing is published yet
    let running = app.start().await.unwrap();
    fill(&app, 0..3).await;
    settled(&app).await;
    stop(running).await;
    let topics = "SELECT topic AS name FROM fs_topics WHERE topic LIKE 'eu.%' ORDER BY topic";
    assert_eq!(texts(&app, topics).await, ["eu.orders.events"]);
    let groups = "SELECT DISTINCT group_name AS name FROM fs_group_offsets";
    assert_eq!(texts(&app, groups).await, ["eu.ledger"]);

    let late = other.start().await.expect_err("it is refused").to_string();
    let told = refusal(with_ledger(&shop).namespace("us.")).await;
    let none = refusal(with_ledger(&shop).namespace("")).await;
    for told in [late, told] {
        assert!(
            told.contains("the namespace \"eu.\"") && told.contains("given the namespace \"us.\""),
            "{told}"
        );
    }
    assert!(none.contains("given no namespace"), "{none}");
    // Whoever says nothing takes the store's.
    let app = with_ledger(&shop).open().await.unwrap();
    assert_eq!(app.status().await.store.namespace, "eu.");
    let running = app.start().await.unwrap();
    fill(&app, 3..5).await;
    settled(&app).await;
    stop(running).await;
    assert_eq!(texts(&app, groups).await, ["eu.ledger"]);
}

#[tokio::test]
async fn a_store_that_was_started_without_a_namespace_has_none_and_its_id_stays() {
    let shop = Shop::new();
    let app = with_ledger(&shop).open().await.unwrap();
    stop(app.start().await.unwrap()).await;
    assert!(refusal(with_ledger(&shop).namespace("eu.")).await.contains("has no namespace"));
    assert_eq!(with_ledger(&shop).open().await.unwrap().store_id(), app.store_id());
    assert_ne!(Shop::new().open().await.store_id(), app.store_id());
}

#[tokio::test]
async fn a_namespace_that_no_topic_can_have_is_refused_at_open() {
    let shop = Shop::new();
    assert!(refusal(with_ledger(&shop).namespace("eu/")).await.contains("a namespace is letters"));
    let long = "x".repeat(240);
    assert!(refusal(with_ledger(&shop).namespace(&long)).await.contains("at most 249 with its namespace"));
    with_ledger(&shop).namespace("eu.").open().await.unwrap();
}
