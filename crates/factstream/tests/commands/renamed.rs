//! What a service has scheduled goes on under another name of the service: timers, schedules, and those that failed.

use crate::common::{Do, Order, Shop, eventually, settled, stop};
use crate::running::Logged;
use factstream::{App, Builder, Failure, Occurrence, Recurring, Schedule, Tx, params};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Does nothing, hourly.
struct Nothing;

impl Recurring for Nothing {
    async fn run(&self, _: &Occurrence, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

fn builder(shop: &Shop, service: &str, formerly: &str) -> Builder {
    let hourly = Schedule::cron("0 * * * *").unwrap();
    let builder = shop.builder().service(service).formerly(formerly);
    builder.scheduled_command::<Order, Do>("order-do").every(hourly, "nothing", Nothing)
}

async fn notes(app: &App, id: &str) -> Vec<String> {
    app.load::<Order>(id).await.unwrap().0.notes
}

/// The handlers that timers wait for.
async fn waits_for(app: &App) -> Vec<String> {
    let timers = app.timers().list(None).await.unwrap();
    timers.into_iter().map(|timer| format!("{} {}", timer.handler, timer.name)).collect()
}

async fn schedules_of(app: &App) -> Vec<String> {
    let mut tx = app.begin().await.unwrap();
    let rows = tx.query("SELECT handler FROM fs_schedules ORDER BY handler", params![]).await.unwrap();
    rows.iter().map(|row| row.get("handler").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn timers_schedules_and_letters_of_a_renamed_service_go_on() {
    let shop = Shop::new();
    let old = builder(&shop, "shop", "none").open().await.unwrap();
    let running = old.start().await.unwrap();
    old.execute("o-1", Do::Create(1)).await.unwrap();
    old.schedule::<Order, _>("o-1", Do::Create(2)).named("refused").await.unwrap();
    eventually("a letter", || async { !old.dead_letters().list(None, false, 0).await.unwrap().is_empty() })
        .await;
    old.schedule::<Order, _>("o-1", Do::Note("parked".into())).named("parked").await.unwrap();
    old.schedule::<Order, _>("o-2", Do::Note("later".into())).after(HOUR).named("later").await.unwrap();
    let held = || async { old.timers().list(None).await.unwrap().iter().filter(|timer| timer.held).count() };
    eventually("one is parked behind it", || async { held().await == 2 }).await;
    stop(running).await;
    drop(old);

    let new = builder(&shop, "trade", "shop").open().await.unwrap();
    let running = new.start().await.unwrap();
    eventually("all waits under the new name", || async {
        let names = waits_for(&new).await;
        !names.is_empty() && names.iter().all(|name| name.starts_with("fs:scheduled-trade "))
    })
    .await;
    assert_eq!(schedules_of(&new).await, ["fs:scheduled-trade"]);
    let letters = new.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!((letters.len(), letters[0].handler.as_str()), (1, "fs:scheduled-trade"));
    assert_eq!(letters[0].parked_behind, 1);
    new.dead_letters().discard(letters[0].id, "a test").await.unwrap();
    assert!(new.timers().of_aggregate::<Order>("o-2").unwrap().fire_now("later").await.unwrap());
    eventually("both are done", || async {
        notes(&new, "o-1").await == ["parked"] && notes(&new, "o-2").await == ["later"]
    })
    .await;
    settled(&new).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tool_that_opens_the_store_under_another_name_takes_nothing_from_the_service_that_runs() {
    let shop = Shop::new();
    let service = builder(&shop, "order", "shop").open().await.unwrap();
    let running = service.start().await.unwrap();
    service.schedule::<Order, _>("o-1", Do::Note("mine".into())).after(HOUR).named("n").await.unwrap();
    eventually("the schedule waits", || async { waits_for(&service).await.len() == 2 }).await;
    let before = waits_for(&service).await;
    let tool = builder(&shop, "shop", "order").open().await.unwrap();
    assert_eq!(waits_for(&tool).await, before);
    assert_eq!(schedules_of(&tool).await, ["fs:scheduled-order"]);
    stop(running).await;
}

#[tokio::test]
async fn a_build_that_declares_nothing_says_once_what_waits_for_it() {
    let (shop, logged) = (Shop::new(), Logged::default());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(logged.clone()).finish();
    let _subscribed = tracing::subscriber::set_default(subscriber);
    let declares = shop.builder().service("shop").scheduled_command::<Order, Do>("order-do");
    let app = declares.open().await.unwrap();
    shop.builder().service("shop").open().await.unwrap();
    assert!(!logged.text().contains("wait"), "nothing waits: {}", logged.text());
    for id in ["o-1", "o-2"] {
        app.schedule::<Order, _>(id, Do::Note("secret".into())).after(HOUR).await.unwrap();
    }
    drop(app);
    shop.builder().service("another").open().await.unwrap();
    let app = shop.builder().service("shop").open().await.unwrap();
    let running = app.start().await.unwrap();
    settled(&app).await;
    stop(running).await;
    let log = logged.text();
    assert_eq!(log.matches("Builder::scheduled_command").count(), 1, "{log}");
    assert!(
        log.contains("WARN") && log.contains("order-do: 2, the first due at ") && !log.contains("secret"),
        "{log}"
    );
}
