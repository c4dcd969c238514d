//! `orders demo`: the whole system at work on generated orders, then checked against a fold over the log.
//!
//! [`services`] runs what handles the events, [`load`] places the orders through the real command path, [`processes`] waits for the last to be shipped or compensated, [`check`] folds the log and compares, [`summary`] prints.

pub mod check;
pub mod load;
pub mod processes;
pub mod services;
pub mod summary;

use crate::Failed;
use crate::app::{self, Config};
use crate::{cli, urls};
use factstream::App;
use indicatif::{ProgressBar, ProgressStyle};
use services::Services;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long everything may take to settle after the last order, and for each order placed.
const SETTLE: Duration = Duration::from_secs(60);
const SETTLE_PER_ORDER: Duration = Duration::from_millis(20);

/// Runs the demo; success only if all is consistent.
///
/// # Errors
/// When the store cannot be used, or it does not settle.
pub async fn run(args: cli::Demo) -> Result<ExitCode, Failed> {
    let store = match args.store.find_in_options()? {
        Some(given) => given.url,
        None => new_store(),
    };
    let broker = args.broker.find_in_options()?.map_or_else(|| urls::BROKER.to_owned(), |given| given.url);
    let gateway_failure_rate = args.gateway_failure_rate;
    let config =
        Config { store: store.clone(), broker, gateway_failure_rate, analytics: true, ..Config::default() };
    let app = app::open(config.clone()).await?;
    let before = app.head().await?;
    let services = Services::start(&app, &config).await?;
    let bar = ProgressBar::new(u64::from(args.orders));
    bar.set_style(ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len} orders  {per_sec}")?);
    bar.set_message("placing");
    let started = Instant::now();
    let load = load::place(&app, args.orders, &bar).await?;
    let placed = started.elapsed();
    bar.set_message("settling");
    let patience = SETTLE + SETTLE_PER_ORDER * args.orders;
    processes::end(&app, &load, patience).await?;
    settle(&app, patience).await?;
    let settled = started.elapsed();
    bar.finish_and_clear();
    let status = app.status().await;
    let report = check::check(&app, &load).await?;
    let services_told = services.told();
    services.stop().await?;
    let events = status.position.map_or(0, |position| position - before);
    let consistent = report.is_consistent();
    let broker = config.broker;
    summary::print(&summary::Summary {
        store,
        broker,
        services: services_told,
        load,
        placed,
        settled,
        events,
        status,
        report,
    });
    Ok(if consistent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A new file that stays, so that its events can be looked at afterwards.
fn new_store() -> String {
    let name = format!("orders-demo-{}.db", uuid::Uuid::now_v7());
    let path: PathBuf = std::env::temp_dir().join(name);
    format!("sqlite://{}", path.display())
}

/// Waits until every handler has come to the end and nothing waits for another attempt.
///
/// # Errors
/// When the store cannot be read, or it takes longer than `at_most`.
pub async fn settle(app: &App, at_most: Duration) -> Result<(), Failed> {
    let deadline = Instant::now() + at_most;
    loop {
        let status = app.status().await;
        let unsettled = status.unsettled();
        // A handler that has just finished may have appended what others have yet to see: the head must stand still too.
        if unsettled.is_empty()
            && Some(app.head().await?) == status.position
            && app.status().await.unsettled().is_empty()
        {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("after {at_most:?} this has not settled: {}", unsettled.join(", ")).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
