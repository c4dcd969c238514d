//! What the benchmark prints: the median of each entry, its spread, and how it stands to its target.

use crate::Failed;
use crate::contest::{Bound, Contest, Measure, Outcome, Target};
use crate::figures::Figures;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

/// A ratio may fall to this part of its target before continuous integration fails: its machines are shared.
pub(crate) const GUARD: f64 = 0.7;

/// One run in a line.
pub(crate) fn short(figures: &Figures, contest: &Contest) -> String {
    let rate = match figures.per_second {
        0.0 => String::new(),
        rate => format!("{rate:.0} {}", contest.unit),
    };
    let times = figures.latency.map(|latency| {
        format!("  p50 {:.3} ms  p99 {:.3} ms", millis(latency.p50_micros), millis(latency.p99_micros))
    });
    rate + &times.unwrap_or_default()
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// The measure in one run.
fn value(figures: &Figures, measure: Measure) -> Option<f64> {
    match measure {
        Measure::Rate => (figures.per_second > 0.0).then_some(figures.per_second),
        Measure::P50 => figures.latency.map(|latency| latency.p50_micros as f64),
        Measure::P99 => figures.latency.map(|latency| latency.p99_micros as f64),
        Measure::PeakMemory => Some(figures.peak_memory_bytes as f64),
    }
}

/// Median, lowest and highest of the rounds.
fn spread(rounds: &[Figures], measure: Measure) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = rounds.iter().filter_map(|figures| value(figures, measure)).collect();
    values.sort_by(f64::total_cmp);
    Some([*values.get(values.len() / 2)?, *values.first()?, *values.last()?])
}

fn median_of(outcome: &Outcome, entry: &str, measure: Measure) -> Option<f64> {
    let at = outcome.contest.entries.iter().position(|known| known.name == entry)?;
    Some(spread(&outcome.rounds[at], measure)?[0])
}

/// How a target stands: what was reached, in the bound's own measure, and the bound.
struct Standing {
    text: String,
    /// 1 where the bound is reached exactly, more where it is surpassed.
    score: f64,
}

impl Standing {
    fn of(outcome: &Outcome, target: &Target) -> Option<Self> {
        let own = median_of(outcome, target.entry, target.measure)?;
        let name = match target.measure {
            Measure::Rate => "",
            Measure::P50 => "p50 ",
            Measure::P99 => "p99 ",
            Measure::PeakMemory => "memory ",
        };
        Some(match target.bound {
            Bound::AtLeast(factor, against) => {
                let ratio = own / median_of(outcome, against, target.measure)?;
                Self { text: format!("{name}{ratio:.2} x {against} (>= {factor})"), score: ratio / factor }
            }
            Bound::AtMost(factor, against) => {
                let ratio = own / median_of(outcome, against, target.measure)?;
                Self { text: format!("{name}{ratio:.2} x {against} (<= {factor})"), score: factor / ratio }
            }
            Bound::Within(limit) => {
                let (shown, unit) = match target.measure {
                    Measure::PeakMemory => (1e6, "MB"),
                    _ => (1e3, "ms"),
                };
                let text = format!("{name}{:.1} {unit} (<= {:.0})", own / shown, limit / shown);
                Self { text, score: limit / own }
            }
        })
    }
}

/// The table for people.
pub(crate) fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["", "entry", "median", "lowest to highest", "p50 ms", "p99 ms", "memory MB", "target"]);
    for outcome in outcomes {
        let contest = outcome.contest;
        table.add_row([contest.name, contest.what, "", contest.unit, "", "", "", ""]);
        for (entry, rounds) in
            contest.entries.iter().zip(&outcome.rounds).filter(|(entry, _)| entry.takes_part())
        {
            let standings = contest.targets.iter().filter(|target| target.entry == entry.name);
            let targets: Vec<String> = standings
                .filter_map(|target| Standing::of(outcome, target))
                .map(|standing| {
                    format!("{}{}", standing.text, if standing.score < 1.0 { " NOT MET" } else { "" })
                })
                .collect();
            let rate = spread(rounds, Measure::Rate);
            let time = |measure| {
                spread(rounds, measure).map_or(String::new(), |[median, ..]| format!("{:.3}", median / 1e3))
            };
            table.add_row([
                String::new(),
                entry.name.to_owned(),
                rate.map_or(String::new(), |[median, ..]| format!("{median:.0}")),
                rate.map_or(String::new(), |[_, lowest, highest]| format!("{lowest:.0} to {highest:.0}")),
                time(Measure::P50),
                time(Measure::P99),
                spread(rounds, Measure::PeakMemory)
                    .map_or(String::new(), |[median, ..]| format!("{:.0}", median / 1e6)),
                targets.join("; "),
            ]);
        }
    }
    for column in [2, 4, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Every figure of every round.
pub(crate) fn json(outcomes: &[Outcome]) -> Result<String, Failed> {
    let contests: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let entries =
                outcome.contest.entries.iter().zip(&outcome.rounds).filter(|(entry, _)| entry.takes_part());
            let entries: Vec<_> =
                entries.map(|(entry, rounds)| json!({ "entry": entry.name, "rounds": rounds })).collect();
            let targets: Vec<_> = outcome
                .contest
                .targets
                .iter()
                .filter_map(|target| Standing::of(outcome, target))
                .map(|standing| json!({ "target": standing.text, "score": standing.score }))
                .collect();
            let Contest { name, what, unit, .. } = outcome.contest;
            json!({ "contest": name, "what": what, "unit": unit, "entries": entries, "targets": targets })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&contests)?)
}

/// The targets of which less than `part` is reached. Absolute ones count only as a whole: `part` is for ratios, which do not
/// depend on the machine.
pub(crate) fn below(outcomes: &[Outcome], part: f64) -> Vec<String> {
    let of_ratios_only = part < 1.0;
    let all = outcomes
        .iter()
        .flat_map(|outcome| outcome.contest.targets.iter().map(move |target| (outcome, target)));
    all.filter(|(_, target)| !(of_ratios_only && matches!(target.bound, Bound::Within(_))))
        .filter_map(|(outcome, target)| {
            let standing = Standing::of(outcome, target)?;
            (standing.score < part).then(|| format!("{} {}", outcome.contest.name, standing.text))
        })
        .collect()
}

/// The last line: whether `what` holds, given what is below it.
pub(crate) fn verdict(below: &[String], what: &str) -> String {
    match below {
        [] => what.to_owned(),
        _ => format!("not so that {what}: {}", below.join("; ")),
    }
}
