//! Transactions over several aggregates, run again when they lose.

use crate::common::{Do, Order, OrderEvent, Refused, Shop};
use factstream::{Error, ExecuteError, params};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinSet;

type Outcome = ExecuteError<Refused>;

#[tokio::test]
async fn a_transaction_takes_effect_whole_and_an_error_of_it_rolls_back() {
    let shop = Shop::new();
    let app = shop.open().await;
    let committed = app
        .transaction(async |mut tx| {
            tx.command("o-1", Do::Create(1)).await?;
            let decided = tx.command("o-1", Do::Close).await?;
            tx.command("o-2", Do::Create(1)).await?;
            Ok::<_, Outcome>(decided.version)
        })
        .await
        .unwrap();
    assert_eq!((committed.value, committed.position()), (2, Some(3)));
    let refused = app
        .transaction(async |mut tx| {
            tx.command("o-3", Do::Create(1)).await?;
            tx.command("o-1", Do::Note("too late".into())).await?;
            Ok::<_, Outcome>(())
        })
        .await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(Refused("Order is closed")))));
    assert_eq!(app.head().await.unwrap(), 3);
    let nothing =
        app.transaction(async |mut tx| Ok::<_, Error>(tx.query("SELECT 1", params![]).await?.len())).await;
    assert_eq!(nothing.unwrap().position(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_on_busy_aggregates_is_run_again_until_it_has_its_turn() {
    let shop = Shop::new();
    let app = shop.open().await;
    let runs: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
    let mut tasks = JoinSet::new();
    for n in 0..40_u32 {
        let app = app.clone();
        tasks.spawn(async move {
            // In this order and in the other one.
            let (first, then) = if n.is_multiple_of(2) { ("o-1", "o-2") } else { ("o-2", "o-1") };
            let both = app.transaction(async |mut tx| {
                runs.fetch_add(1, Ordering::Relaxed);
                tx.command(first, Do::Note(n.to_string())).await?;
                tx.command(then, Do::Note(n.to_string())).await?;
                Ok::<_, Outcome>(())
            });
            both.await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for id in ["o-1", "o-2"] {
        let (order, _) = app.load::<Order>(id).await.unwrap();
        assert_eq!(order.notes.len(), 40);
    }
    println!("{} runs of 40 transactions", runs.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_fact_is_appended_whatever_others_write_and_what_is_decided_after_it_knows_it() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    let noted = |text: &str| OrderEvent::Noted { text: text.into() };
    tx.append::<Order>("o-1", &[noted("a fact")]).await.unwrap();
    tx.append::<Order>("o-2", &[OrderEvent::Created { customer_id: "c".into(), amount: 1 }]).await.unwrap();
    tx.append::<Order>("o-2", &[noted("another")]).await.unwrap();
    let refusal = tx.command("o-2", Do::Create(1)).await.unwrap_err();
    assert!(matches!(refusal, ExecuteError::Rejected(Refused("Order already created"))), "{refusal}");
    tx.command("o-2", Do::Close).await.unwrap();
    tx.append::<Order>("o-2", &[noted("last")]).await.unwrap();
    if std::env::var("FACTSTREAM_TEST_STORE").as_deref() == Ok("postgres") {
        app.execute("o-1", Do::Note("meanwhile".into())).await.unwrap(); // SQLite has one writer
    }
    tx.commit().await.unwrap();
    let (one, _) = app.load::<Order>("o-1").await.unwrap();
    assert_eq!(one.notes.last().map(String::as_str), Some("a fact"));
    let (two, version) = app.load::<Order>("o-2").await.unwrap();
    assert_eq!((two.notes, two.closed, version), (vec!["another".to_owned(), "last".to_owned()], true, 4));
    app.execute("o-1", Do::Note("on".into())).await.unwrap(); // what is in memory is older, and is not decided on
}
