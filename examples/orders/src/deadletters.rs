//! `orders deadletters ..`: what could not be handled, in a person's hands. Works beside a running `orders serve`.

use crate::cli::{DeadLetters, DeadLettersAction};
use crate::{Failed, output};
use factstream::App;
use factstream::dead_letters::{Amendment, Bytes, Detail, Entry, LIST_MAX, Summary};
use std::process::ExitCode;

/// Does what is asked.
///
/// # Errors
/// When the store cannot be used, or there is no such letter.
pub async fn run(args: DeadLetters) -> Result<ExitCode, Failed> {
    let DeadLetters { action, store, json } = args;
    let store = store.find()?;
    let app = output::inspect(store.clone(), output::in_store()).await?;
    match action {
        DeadLettersAction::List { handler, retrying, after } => {
            let letters = app.dead_letters().list(handler.as_deref(), retrying, after).await?;
            list(letters, json, &store.url)?;
        }
        DeadLettersAction::Show { id, before: None } => show(&app, id, json).await?,
        DeadLettersAction::Show { id, before } => {
            let history = app.dead_letters().history(id, before).await?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&history)?),
                false => print_history(id, history),
            }
        }
        DeadLettersAction::Amendments { handler, after } => {
            amendments(app.dead_letters().amendments(&handler, after).await?, json)?;
        }
        DeadLettersAction::Withdraw { handler, position } => {
            app.dead_letters().withdraw(&handler, position).await?;
            match json {
                true => println!("{}", serde_json::json!({ "handler": handler, "position": position })),
                false => println!(
                    "the next rebuild of {handler} is given the event {position} as it lies in the log"
                ),
            }
        }
        DeadLettersAction::Redrive { id } => {
            app.dead_letters().redrive(id).await?;
            tell(json, id, "is handled again by the process that runs its handler, now or when it starts");
        }
        DeadLettersAction::RedriveAll { handler } => {
            let redriven = app.dead_letters().redrive_all(handler.as_deref()).await?;
            match json {
                true => println!("{}", serde_json::json!({ "redriven": redriven })),
                false => println!(
                    "{redriven} dead letters are handled again by the processes that run their handlers"
                ),
            }
        }
        DeadLettersAction::Edit { id, data } => {
            app.dead_letters().edit(id, &data).await?;
            tell(json, id, "has new data and is handled again; the data before is kept in its history");
        }
        DeadLettersAction::Discard { id, reason } => {
            app.dead_letters().discard(id, &reason).await?;
            tell(json, id, "is given up; what was parked behind it goes on");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(json: bool, id: u64, text: &str) {
    match json {
        true => println!("{}", serde_json::json!({ "id": id })),
        false => println!("dead letter {id} {text}"),
    }
}

fn list(letters: Vec<Summary>, json: bool, store: &str) -> Result<(), Failed> {
    if json {
        println!("{}", serde_json::to_string_pretty(&letters)?);
        return Ok(());
    }
    if letters.is_empty() {
        println!("no dead letters");
        return Ok(());
    }
    let more = letters.last().filter(|_| letters.len() == LIST_MAX).map(|last| last.id);
    let mut table = output::table(&["id", "handler", "state", "event", "key", "parked", "reason"]);
    for letter in letters {
        let Summary { id, handler, state, event_type, key, parked_behind, reason, .. } = letter;
        let event = event_type.unwrap_or_else(|| "(unreadable)".into());
        let row = [
            id.to_string(),
            handler,
            state,
            event,
            key,
            parked_behind.to_string(),
            reason.unwrap_or_default(),
        ];
        table.add_row(row);
    }
    println!("{table}");
    let store = factstream::redact_url(store);
    println!("look at one: {} deadletters show ID --store {store}", output::program());
    if let Some(last) = more {
        println!("there may be more: --after {last}");
    }
    Ok(())
}

async fn show(app: &App, id: u64, json: bool) -> Result<(), Failed> {
    let detail = app.dead_letters().show(id).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&detail)?);
        return Ok(());
    }
    let Detail { summary, record_key, value, headers, history, parked, .. } = detail;
    let mut table = output::table(&["dead letter", &id.to_string()]);
    let optional = |text: Option<String>| text.unwrap_or_else(|| "(none)".to_owned());
    for (name, text) in [
        ("handler", summary.handler),
        ("state", summary.state),
        ("event", optional(summary.event_type)),
        ("event id", summary.event_id),
        ("key", summary.key),
        ("place", summary.place),
        ("reason", optional(summary.reason)),
        ("attempts", summary.attempts.to_string()),
        ("next attempt", optional(summary.next_attempt_at.map(|at| at.to_string()))),
        ("record key", optional(record_key.map(text))),
        ("value", optional(value.map(text))),
        ("headers", lines(headers)),
    ] {
        table.add_row([name.to_owned(), text]);
    }
    println!("{table}");
    print_history(id, history);
    if !parked.is_empty() {
        let mut table = output::table(&["parked behind it", "event", "event id"]);
        for event in parked {
            table.add_row([event.id.to_string(), optional(event.event_type), event.event_id]);
        }
        println!("{table}");
    }
    Ok(())
}

fn print_history(id: u64, history: Vec<Entry>) {
    let before = history.first().map_or(1, |oldest| oldest.entry);
    let mut table = output::table(&["at", "what", "detail"]);
    for entry in history {
        table.add_row([entry.at.to_string(), entry.action, entry.detail.to_string()]);
    }
    println!("{table}");
    if before > 1 {
        println!("what happened before: {} deadletters show {id} --before {before}", output::program());
    }
}

fn amendments(decided: Vec<Amendment>, json: bool) -> Result<(), Failed> {
    if json {
        println!("{}", serde_json::to_string_pretty(&decided)?);
        return Ok(());
    }
    let mut table = output::table(&["position", "what", "decided at"]);
    for Amendment { position, action, decided_at, .. } in decided {
        table.add_row([position.to_string(), action, decided_at.to_string()]);
    }
    println!("{table}");
    Ok(())
}

fn lines(headers: Vec<(String, Bytes)>) -> String {
    let lines: Vec<String> =
        headers.into_iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
    lines.join("\n")
}

fn text(bytes: Bytes) -> String {
    match bytes {
        Bytes::Text(text) => text,
        Bytes::Base64(base64) => format!("(base64) {base64}"),
    }
}
