//! `orders schema ..`: the events' shapes against the lock folder, another revision of it, and a store.

use crate::app::{self, Config};
use crate::urls::{BrokerUrl, StoreUrl};
use crate::{Failed, output};
use clap::{Args, Subcommand};
use factstream::schema::{EventCatalogue, Folder, Format, HistoryMatrix};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `orders schema`
#[derive(Debug, Clone, Args)]
pub struct Schema {
    /// What to do.
    #[command(subcommand)]
    pub action: SchemaAction,
    /// The lock folder
    #[arg(long, global = true, default_value = "schema", value_name = "FOLDER")]
    pub folder: PathBuf,
    /// text, json, junit or github
    #[arg(long, global = true, default_value = "text", value_name = "FORMAT")]
    pub format: Format,
}

/// What can be done with the events' shapes.
#[derive(Debug, Clone, Subcommand)]
pub enum SchemaAction {
    /// Exit with an error if this build cannot read what was ever locked, or others cannot read what it writes
    Check {
        /// Against the folder as it was in another revision: git:origin/main
        #[arg(long, value_parser = revision, value_name = "git:REV")]
        against: Option<String>,
    },
    /// Bring the folder up to date; refused while something breaks that is not waived
    Lock,
    /// Show what lock would write
    Diff,
    /// Every type of event: versions, names, topic
    List,
    /// Read all of a store with this build's decoders: log, dead letters and embedded topics
    Verify {
        /// The store to read.
        #[command(flatten)]
        store: StoreUrl,
        /// The broker of the handlers.
        #[command(flatten)]
        broker: BrokerUrl,
    },
}

fn revision(text: &str) -> Result<String, String> {
    let revision = text.strip_prefix("git:").filter(|revision| !revision.is_empty());
    revision
        .map(str::to_owned)
        .ok_or_else(|| "write git: and a revision, for example git:origin/main".to_owned())
}

/// Does what is asked.
///
/// # Errors
/// When the folder, the revision or the store cannot be read.
pub async fn run(args: Schema) -> Result<ExitCode, Failed> {
    let Schema { action, folder, format } = args;
    let events = app::builder(&Config::default()).events()?;
    match action {
        SchemaAction::Check { against } => check(&events, &folder, against.as_deref(), format),
        SchemaAction::Lock => {
            let written = events.bless(&folder)?;
            for path in &written {
                println!("written: {}", path.display());
            }
            println!("{} files written", written.len());
            Ok(ExitCode::SUCCESS)
        }
        SchemaAction::Diff => {
            let pending = events.pending(&Folder::read(&folder)?);
            for file in &pending {
                print!("{file}");
            }
            Ok(code(pending.is_empty()))
        }
        SchemaAction::List => list(&events, format),
        SchemaAction::Verify { store, broker } => {
            let app = output::inspect(store.find()?, broker.find()?).await?;
            let bar = ProgressBar::new(0);
            bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events")?);
            let matrix = events
                .verify(&app, |progress| {
                    bar.set_length(progress.head);
                    bar.set_position(progress.position);
                })
                .await;
            bar.finish_and_clear();
            show(&matrix?, format)
        }
    }
}

fn check(
    events: &EventCatalogue,
    folder: &Path,
    against: Option<&str>,
    format: Format,
) -> Result<ExitCode, Failed> {
    let now = Folder::read(folder)?;
    let report = match against {
        Some(revision) => events.check_against(&now, &Folder::at_revision(folder, revision)?),
        None => events.check(&now),
    };
    print!("{}", report.show(format));
    Ok(code(report.passes()))
}

fn list(events: &EventCatalogue, format: Format) -> Result<ExitCode, Failed> {
    if format == Format::Json {
        let types: Vec<_> = events
            .event_types()
            .map(|(of, schema)| {
                serde_json::json!({
                    "event": of.name, "version": of.version, "since": of.since, "was": of.was, "topic": of.topic,
                    "retired": of.retired, "declared_by": of.declared_by, "schema": schema,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&types)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(&["event", "version", "since", "was", "topic", "declared by"]);
    for (of, _) in events.event_types() {
        table.add_row([
            of.name.to_owned(),
            of.version.to_string(),
            of.since.to_string(),
            of.was.join(", "),
            of.topic.unwrap_or("private").to_owned(),
            of.declared_by.to_owned(),
        ]);
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn show(matrix: &HistoryMatrix, format: Format) -> Result<ExitCode, Failed> {
    if format == Format::Json {
        println!("{}", serde_json::to_string_pretty(matrix)?);
        return Ok(code(matrix.passes()));
    }
    let mut table = output::table(&["place", "event", "version", "events", "unreadable"]);
    for row in &matrix.rows {
        table.add_row([
            row.place.name().to_owned(),
            row.event.clone(),
            row.version.to_string(),
            row.events.to_string(),
            row.unreadable.to_string(),
        ]);
    }
    println!("{table}\n{matrix}");
    Ok(code(matrix.passes()))
}

fn code(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Order, OrderEvent, upcasters};
    use factstream::EventSet as _;
    use factstream::testing::given;

    /// Fails before a build is released that cannot read what an earlier one stored. With `FACTSTREAM_BLESS=1` it brings the folder
    /// `schema` up to date.
    #[test]
    fn every_stored_event_stays_readable() {
        factstream::schema::assert_locked("schema", &app::builder(&Config::default()));
    }

    #[test]
    fn a_payment_that_an_earlier_build_stored_is_read_by_its_new_name() {
        let decoder = upcasters().decoder(OrderEvent::event_types()).unwrap();
        let old: OrderEvent = decoder.decode("OrderPaymentApproved", 1, r#"{"payment_id":"pay-1"}"#).unwrap();
        assert_eq!(old, OrderEvent::Paid { gateway: "simulated".into(), payment_id: "pay-1".into() });
        assert_eq!(given::<Order>([old]).state().payment_id.as_deref(), Some("pay-1"));
    }
}
