//! With Kafka: plan, apply, check.

use super::declared;
use crate::{Failed, cli, output};
use factstream::kafka::{Applied, Change, KafkaBroker};
use std::process::ExitCode;

/// The cluster that is looked at unless one is named.
const CLUSTER: &str = "kafka://127.0.0.1:9092";

/// Plans, applies or checks.
///
/// # Errors
/// When the cluster cannot be reached, or refuses.
pub async fn run(args: cli::Topics) -> Result<ExitCode, Failed> {
    let broker = KafkaBroker::open_url(&args.broker.clone().find_or(CLUSTER)?.url)?;
    let declared = declared(&args)?;
    let plan = broker.plan_topics(&declared).await?;
    if plan.is_empty() {
        println!("{} topics are as declared.", declared.len());
        return Ok(ExitCode::SUCCESS);
    }
    let print = |rows: &[(Change, &str)]| {
        let mut table = output::table(&["topic", "found", ""]);
        for (change, done) in rows {
            table.add_row([change.topic(), &change.to_string(), done]);
        }
        println!("{table}");
    };
    let differs = ExitCode::FAILURE;
    match args.action {
        cli::TopicsAction::Plan => {
            print(&plan.into_iter().map(|change| (change, "")).collect::<Vec<_>>());
            println!("Nothing was changed; `topics apply` does it.");
            Ok(ExitCode::SUCCESS)
        }
        cli::TopicsAction::Check => {
            print(&plan.into_iter().map(|change| (change, "")).collect::<Vec<_>>());
            println!("The cluster is not as declared.");
            Ok(differs)
        }
        cli::TopicsAction::Apply { add_partitions } => {
            let applied = broker.apply_topics(&declared, add_partitions).await?;
            let all = applied.iter().all(|(_, done)| *done == Applied::Done);
            let told = |done| if done == Applied::Done { "done" } else { "left alone" };
            print(&applied.into_iter().map(|(change, done)| (change, told(done))).collect::<Vec<_>>());
            Ok(if all { ExitCode::SUCCESS } else { differs })
        }
    }
}
