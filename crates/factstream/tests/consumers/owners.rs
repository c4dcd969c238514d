//! Several processes on one store: one handles, the others stand by, and those that are gone are forgotten.

use crate::common::{Shop, eventually, settled, stop};
use crate::ledger::{Ledger, ledger, note, with_ledger};
use factstream::{App, Consumer, params};

#[tokio::test]
async fn of_two_applications_on_one_file_one_handles_and_the_other_takes_over() {
    let shop = Shop::new();
    let (one, other) = (Ledger::default(), Ledger::default());
    let app_one = with_ledger(&shop, Consumer::new("ledger").handler(one.clone())).await;
    let app_other =
        shop.builder().consumer(Consumer::new("ledger").handler(other.clone())).open().await.unwrap();
    let running_one = app_one.start().await.unwrap();
    note(&app_one, "o", "1").await;
    settled(&app_one).await;
    let running_other = app_other.start().await.unwrap();
    note(&app_other, "o", "2").await;
    eventually("the first one goes on", || async { one.tried.lock().unwrap().len() == 2 }).await;
    assert!(other.tried.lock().unwrap().is_empty());
    eventually("the other one stands by", || async {
        serde_json::to_string(&app_other.status().await).unwrap().contains("standby")
    })
    .await;
    stop(running_one).await;
    note(&app_other, "o", "3").await;
    eventually("the other one takes over", || async { ledger(&app_other, "o").await == ["1", "2", "3"] })
        .await;
    stop(running_other).await;
}

/// What the processes are called that the store knows.
async fn known(app: &App) -> Vec<String> {
    let rows = app.store().query("SELECT owner FROM fs_owners", params![]).await.unwrap();
    rows.iter().map(|row| row.get("owner").unwrap()).collect()
}

#[tokio::test]
async fn a_process_that_was_killed_is_forgotten_as_soon_as_it_owns_nothing() {
    let shop = Shop::new();
    let app = shop.open().await;
    let running = app.start().await.unwrap();
    let own = known(&app).await.remove(0);
    let machine = own.split('/').next().unwrap();
    let [idle, owning] = ["idle", "owning"].map(|id| format!("{machine}/{}/{id}/host/mail", u32::MAX));
    let elsewhere = format!("another machine/{}/id/host/mail", u32::MAX);
    let mut tx = app.begin().await.unwrap();
    for owner in [&idle, &owning, &elsewhere] {
        tx.sql("INSERT INTO fs_owners (owner, beat) VALUES ($1, 7)", params![owner]).await.unwrap();
    }
    let sql = "INSERT INTO fs_leases (name, owner, token) VALUES ('handler mail', $1, 1)";
    tx.sql(sql, params![&owning]).await.unwrap();
    tx.commit().await.unwrap();

    eventually("it is forgotten", || async { !known(&app).await.contains(&idle) }).await;
    let left = known(&app).await;
    assert!([&own, &owning, &elsewhere].iter().all(|owner| left.contains(owner)), "{left:?}");
    let mut tx = app.begin().await.unwrap();
    tx.sql("DELETE FROM fs_leases WHERE owner = $1", params![&owning]).await.unwrap();
    tx.commit().await.unwrap();
    eventually("the other one, too", || async { !known(&app).await.contains(&owning) }).await;
    let left = known(&app).await;
    assert!(left.contains(&own) && left.contains(&elsewhere), "it may only be paused: {left:?}");
    stop(running).await;
}

#[tokio::test]
async fn a_process_that_was_forgotten_while_it_was_paused_goes_on() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    note(&app, "o", "1").await;
    settled(&app).await;
    let (own, owned) = (known(&app).await, app.owners().await.unwrap());
    let mut tx = app.begin().await.unwrap();
    tx.sql("DELETE FROM fs_owners", params![]).await.unwrap();
    tx.commit().await.unwrap();
    eventually("it is known again", || async { known(&app).await == own }).await;
    note(&app, "o", "2").await;
    settled(&app).await;
    assert_eq!(ledger(&app, "o").await, ["1", "2"]);
    assert_eq!(app.owners().await.unwrap(), owned, "it has what it had");
    stop(running).await;
}
