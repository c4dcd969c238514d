//! `orders projections ..`: how far they are, and rebuilding one beside the live table. Works beside `orders serve`.

use crate::cli::{Projections, ProjectionsAction};
use crate::{Failed, output};
use factstream::App;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;

/// Does what is asked.
///
/// # Errors
/// When the store cannot be used, or there is no such projection.
pub async fn run(args: Projections) -> Result<ExitCode, Failed> {
    let Projections { action, store, json } = args;
    let app = output::open(store.find()?).await?;
    match action {
        ProjectionsAction::List => list(&app, json).await?,
        ProjectionsAction::Rebuild { name } => rebuild(&app, &name, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(app: &App, json: bool) -> Result<(), Failed> {
    let status = app.status().await;
    let names = app.projections();
    let projections: Vec<_> =
        status.handlers.iter().filter(|handler| names.contains(&handler.name)).collect();
    if json {
        let list: Vec<_> = projections
            .iter()
            .map(|projection| {
                serde_json::json!({
                    "name": projection.name,
                    "kind": projection.kind,
                    "checkpoint": projection.checkpoint,
                    "head": status.position,
                    "lag_events": projection.lag_events,
                    "dead_letters": projection.dead_letters,
                    "parked": projection.parked,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(());
    }
    let mut table = output::table(&["projection", "checkpoint", "head", "lag", "dead letters", "parked"]);
    for projection in projections {
        table.add_row([
            projection.name.clone(),
            output::known(projection.checkpoint),
            output::known(status.position),
            output::known(projection.lag_events),
            output::known(projection.dead_letters),
            output::known(projection.parked),
        ]);
    }
    println!("{table}");
    Ok(())
}

async fn rebuild(app: &App, name: &str, json: bool) -> Result<(), Failed> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events  {msg}")?);
    let done = app
        .rebuild(name, |progress| {
            bar.set_length(progress.head);
            bar.set_position(progress.position);
            let (rate, left) = (progress.events_per_second, progress.seconds_left);
            bar.set_message(format!("{rate:.0} events/s, {left:.0} s left"));
        })
        .await;
    bar.finish_and_clear();
    let done = done?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&done)?),
        false => println!(
            "{name} is rebuilt from {} events ({:.0} events/s) and switched",
            done.position, done.events_per_second
        ),
    }
    Ok(())
}
