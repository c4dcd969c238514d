//! `orders status` and `orders handlers list`: how far everything is, as the store and the broker say, and what it is doing, as the
//! processes tell with their beats.

use crate::cli::{Handlers, HandlersAction, Status as Args};
use crate::output::{self, known};
use crate::{Failed, cli};
use factstream::status::{HandlerStatus, Status};
use factstream::{ResetPlan, ResetStep, RunningProcess};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// How long it is watched which processes live.
const WATCH: Duration = Duration::from_secs(3);

/// Shows the status; success only if the store and the broker answer.
///
/// # Errors
/// When the store or the broker cannot be opened.
pub async fn run(args: cli::Status) -> Result<ExitCode, Failed> {
    let Args { store, broker, json } = args;
    let app = output::inspect(store.find()?, broker.find()?).await?;
    let status = app.status().await;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print_parts(&status);
        let processes = app.processes(WATCH).await.ok();
        print_handlers(&status, processes.as_deref());
    }
    let all_answer = status.store.answers && status.broker.answers;
    Ok(if all_answer { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_parts(status: &Status) {
    let mut table = output::table(&["", "answers", "position", "behind", "oldest, s", "error"]);
    let answers = |answers| if answers { "yes" } else { "no" }.to_owned();
    let text = |error: &Option<String>| error.clone().unwrap_or_default();
    let none = String::new;
    let Status { store, broker, relay, .. } = status;
    let name = format!("store {}", store.id);
    table.add_row([name, answers(store.answers), known(status.position), none(), none(), text(&store.error)]);
    let name = match store.namespace.as_str() {
        "" => "broker".to_owned(),
        namespace => format!("broker, namespace {namespace}"),
    };
    table.add_row([name, answers(broker.answers), none(), none(), none(), text(&broker.error)]);
    table.add_row([
        "relay".to_owned(),
        none(),
        known(relay.position),
        known(relay.lag_events),
        seconds(relay.lag_seconds),
        relay.unknown.join("; "),
    ]);
    println!("{table}");
}

/// Shows the handlers.
///
/// # Errors
/// When the store or the broker cannot be opened.
pub async fn run_handlers(args: Handlers) -> Result<ExitCode, Failed> {
    let Handlers { action, store, broker, json } = args;
    let app = output::inspect(store.find()?, broker.find()?).await?;
    match action {
        HandlersAction::List => {
            let (status, processes) = (app.status().await, app.processes(WATCH).await?);
            match json {
                true => println!("{}", serde_json::to_string_pretty(&with_processes(&status, &processes)?)?),
                false => print_handlers(&status, Some(&processes)),
            }
        }
        HandlersAction::Reset { name, to, execute, again } => {
            let plan = app.plan_reset(&name, to).await?;
            if execute {
                app.reset(&plan, again).await?;
            }
            match json {
                true => println!("{}", serde_json::to_string_pretty(&plan)?),
                false => print_reset(&plan, execute),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The handlers with what each is doing: in all processes together, and in each.
fn with_processes(
    status: &Status,
    processes: &[RunningProcess],
) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    let of_handler = |handler: &HandlerStatus| {
        let mut value = serde_json::to_value(handler)?;
        let there =
            processes.iter().filter_map(|process| Some((process, process.handlers.get(&handler.name)?)));
        let there = there.map(|(process, doing)| {
            serde_json::json!({
                "service": process.service, "host": process.host, "pid": process.pid,
                "state": doing.state, "reason": doing.reason,
            })
        });
        let state = states(handler, processes).into_iter().next();
        value["state"] = state.map_or("stopped", |(_, state)| state).into();
        value["processes"] = there.collect::<Vec<_>>().into();
        Ok(value)
    };
    status.handlers.iter().map(of_handler).collect()
}

/// What a handler is doing, the most telling first, and in how many processes.
fn states<'a>(handler: &HandlerStatus, processes: &'a [RunningProcess]) -> Vec<(usize, &'a str)> {
    const TELLING: [&str; 6] = ["halted", "restarting", "paused", "live", "standing by", "outdated"];
    let mut counts: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
    for doing in processes.iter().filter_map(|process| process.handlers.get(&handler.name)) {
        let place = TELLING.iter().position(|state| *state == doing.state).unwrap_or(TELLING.len());
        counts.entry(place).or_insert((0, doing.state.as_str())).0 += 1;
    }
    counts.into_values().collect()
}

fn print_handlers(status: &Status, processes: Option<&[RunningProcess]>) {
    let headings =
        ["handler", "kind", "generation", "state", "run by", "at", "behind", "oldest, s", "dead", "parked"];
    let mut table = output::table(&headings);
    for handler in &status.handlers {
        let states = processes.map_or_else(Vec::new, |processes| states(handler, processes));
        let state: Vec<String> = states
            .into_iter()
            .map(|(count, state)| if count > 1 { format!("{state} in {count}") } else { state.to_owned() })
            .collect();
        let state = match (processes, state.as_slice()) {
            (None, _) => "?".to_owned(),
            (_, []) => "stopped".to_owned(),
            (_, state) => state.join("\n"),
        };
        table.add_row([
            handler.name.clone(),
            kind(handler),
            known(handler.generation),
            state,
            run_by(status, handler),
            handler.checkpoint.map_or_else(String::new, |at| at.to_string()),
            known(handler.lag_events),
            seconds(handler.lag_seconds),
            known(handler.dead_letters),
            known(handler.parked),
        ]);
    }
    println!("{table}");
    for process in processes.unwrap_or_default() {
        for (handler, doing) in &process.handlers {
            if let Some(reason) = &doing.reason {
                println!(
                    "{handler} is {} in process {} on {}: {reason}",
                    doing.state, process.pid, process.host
                );
            }
        }
    }
    for HandlerStatus { name, unknown, foreign_stores, .. } in &status.handlers {
        for store in foreign_stores {
            println!("the store {store} takes a part of what is for {name}: give each system a --namespace");
        }
        for reason in unknown {
            println!("not known of {name}: {reason}");
        }
    }
}

fn print_reset(plan: &ResetPlan, is_done: bool) {
    let mut table =
        output::table(&["place", "stands at", if is_done { "set to" } else { "would be set to" }]);
    for ResetStep { topic, partition, from, to, .. } in &plan.steps {
        let topic = topic.as_deref().unwrap_or("log");
        table.add_row([format!("{topic}/{partition}"), known(*from), to.to_string()]);
    }
    println!("{table}");
    if !is_done {
        println!("Nothing was changed; --execute does it.");
    }
}

fn kind(handler: &HandlerStatus) -> String {
    let kind = serde_json::to_value(handler.kind).unwrap_or_default();
    kind.as_str().unwrap_or_default().replace('_', " ")
}

/// The processes that a handler runs in: the owner of its lease, or the members of its group.
fn run_by(status: &Status, handler: &HandlerStatus) -> String {
    let (Some(owners), Some(members)) = (&status.owners, &handler.members) else { return "?".to_owned() };
    let lease = format!("handler {}", handler.name);
    let owners = owners.iter().filter(|owner| owner.lease == lease);
    let owners = owners.map(|owner| format!("{} {}/{}", owner.service, owner.host, owner.pid));
    let members = members
        .iter()
        .map(|member| format!("{} on {}, {} partitions", member.name, member.host, member.partitions.len()));
    let all: Vec<String> = owners.chain(members).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join("\n") }
}

fn seconds(seconds: Option<f64>) -> String {
    known(seconds.map(|seconds| format!("{seconds:.1}")))
}
