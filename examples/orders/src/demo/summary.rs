//! What the demo prints: figures, what was checked, and where to look next.

use super::check::{Check, Report};
use super::load::Load;
use crate::output;
use comfy_table::Table;
use factstream::status::Status;
use std::time::Duration;

/// All that there is to tell.
#[derive(Debug)]
pub struct Summary {
    /// The store's URL.
    pub store: String,
    /// The broker's URL.
    pub broker: String,
    /// How the services ran.
    pub services: String,
    /// What was placed.
    pub load: Load,
    /// How long placing took.
    pub placed: Duration,
    /// How long it took until everything had settled.
    pub settled: Duration,
    /// Events recorded by this run.
    pub events: u64,
    /// The status at the end.
    pub status: Status,
    /// What was checked.
    pub report: Report,
}

/// Prints it.
pub fn print(summary: &Summary) {
    println!("{}", figures(summary));
    println!("{}", checks(&summary.report.checks));
    if summary.report.is_consistent() {
        println!("Everything is consistent.\n");
    } else {
        println!("NOT CONSISTENT: see what was found above.\n");
    }
    let (program, store) = (output::program(), factstream::redact_url(&summary.store));
    let broker = match summary.broker.as_str() {
        "embedded" => String::new(),
        broker => format!(" --broker '{}'", factstream::redact_url(broker)),
    };
    println!("Where to look next:");
    println!("  {program} deadletters list --store {store}");
    println!("  {program} projections list --store {store}");
    println!("  {program} serve --store {store}{broker}    # then: curl -s http://127.0.0.1:8080/status");
}

fn figures(summary: &Summary) -> Table {
    let Summary { load, placed, settled, events, status, report, services, .. } = summary;
    let per_second = |count: f64, time: &Duration| format!("{:.0} /s", count / time.as_secs_f64());
    let micros =
        |quantile: f64| format!("{:.1} ms", load.latency.value_at_quantile(quantile) as f64 / 1_000.0);
    let statuses: Vec<String> =
        report.statuses.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let dead: u64 = status.handlers.iter().filter_map(|handler| handler.dead_letters).sum();
    let (shipped, shipped_within) = report.shipped;
    let mut table = output::table(&["orders demo", ""]);
    for (what, figure) in [
        ("orders placed", format!("{}, {} of them twice with one key", load.orders.len(), load.repeats)),
        ("orders in the store", statuses.join(", ")),
        ("time-outs", format!("{} orders were not paid or reserved when they were due", report.overdue)),
        (
            "compensations",
            format!(
                "{} payments refunded ({}.{:02}), {} pieces back in stock",
                report.given_back.payments,
                report.given_back.cents / 100,
                report.given_back.cents % 100,
                report.given_back.pieces
            ),
        ),
        ("placed at", per_second(load.orders.len() as f64, placed)),
        ("paid, reserved and shipped at", per_second(shipped as f64, &shipped_within)),
        ("all settled", format!("{events} events within {:.1} s, time-outs included", settled.as_secs_f64())),
        (
            "command to visible row",
            format!("p50 {}, p99 {} ({} orders followed)", micros(0.5), micros(0.99), load.latency.len()),
        ),
        ("ran as", services.clone()),
        ("dead letters", dead.to_string()),
    ] {
        table.add_row([what.to_owned(), figure]);
    }
    if summary.broker == "embedded" {
        // Each process counts its own attempts: those of others are in their `/status`.
        let attempts: u64 = status.handlers.iter().map(|handler| handler.attempts).sum();
        table.add_row(["failed attempts (retried)".to_owned(), attempts.to_string()]);
    }
    table
}

fn checks(checks: &[Check]) -> Table {
    let mut table = output::table(&["", "what must hold", "looked at"]);
    for check in checks {
        let mark = if check.against.is_empty() { "✓" } else { "✗" };
        let what = match check.against.is_empty() {
            true => check.what.to_owned(),
            false => format!("{}\n{}", check.what, check.against.join("\n")),
        };
        table.add_row([mark.to_owned(), what, check.looked_at.to_string()]);
    }
    table
}
