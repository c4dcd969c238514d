//! Looks at everything that is in the store, and compares it with the reference.

use crate::bank::{Account, AccountRow, SplitRow};
use crate::reference::{Reference, Rows};
use factstream::dead_letters::Bytes;
use factstream::message::Message;
use factstream::status::Status;
use factstream::{App, Error, params};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Debug;
use std::time::Duration;

/// More than a case ever has of anything.
pub(crate) const ALL: usize = 100_000;

/// Tags in order, by handler (or stream) and key.
type Tags = BTreeMap<(String, String), Vec<String>>;

/// Whether every handler has come to the end in one of the processes, and nothing waits for a retry.
pub(crate) fn is_idle(statuses: &[Status]) -> bool {
    let heads: HashSet<Option<u64>> = statuses.iter().map(|status| status.position).collect();
    heads.len() == 1
        && statuses.iter().any(|status| status.relay.lag_events == Some(0))
        && (0..statuses[0].handlers.len()).all(|at| {
            let of = || statuses.iter().map(|status| &status.handlers[at]);
            of().any(|handler| handler.lag_events == Some(0))
                && of().all(|handler| handler.retrying == Some(0))
        })
}

/// What changes whenever something was done.
pub(crate) fn progress(statuses: &[Status]) -> Vec<u64> {
    let handlers = statuses.iter().flat_map(|status| &status.handlers);
    let done = handlers.flat_map(|handler| [handler.handled, handler.attempts, handler.restarts]);
    statuses.iter().filter_map(|status| status.position).chain(done).collect()
}

pub(crate) async fn compare(
    app: &App,
    reference: &Reference,
    acknowledged: &[(u64, String)],
) -> Result<(), String> {
    compare_log(app, reference, acknowledged).await?;
    let mut must = Tags::new();
    for ((handler, account), lane) in &reference.lanes {
        must.insert(((*handler).to_owned(), account.clone()), lane.effects.clone());
        if *handler == "ledger" {
            must.insert(("pager".to_owned(), format!("r-{account}")), lane.effects.clone());
        }
    }
    must.retain(|_, tags| !tags.is_empty());
    let mut is = Tags::new();
    for sql in [
        "SELECT handler, account, tag FROM effects ORDER BY entry",
        "SELECT 'journal' AS handler, account, tag FROM journal ORDER BY entry",
    ] {
        for row in app.store().query(sql, params![]).await.map_err(|error| error.to_string())? {
            let text = |column: &str| row.get::<String>(column).unwrap();
            is.entry((text("handler"), text("account"))).or_default().push(text("tag"));
        }
    }
    same_tags("the effects of each handler, exactly once and in order per key", &must, &is)?;
    let must: Tags = reference
        .lanes
        .iter()
        .filter(|(_, lane)| !lane.held.is_empty())
        .map(|((handler, account), lane)| {
            let tags = lane.held.iter().map(|ev| ev.tag.clone()).collect();
            (((*handler).to_owned(), account.clone()), tags)
        })
        .collect();
    same_tags(
        "the dead letters, each with what is parked behind it",
        &must,
        &held(app).await.map_err(text)?,
    )?;
    same("the rows of the read model", &reference.rows(), &rows(app).await.map_err(text)?)
}

/// Positions without gaps, versions contiguous, exactly the events that the reference has, in its order; what was
/// acknowledged is where it was said to be; aggregates are what their events say.
async fn compare_log(app: &App, reference: &Reference, acknowledged: &[(u64, String)]) -> Result<(), String> {
    let log = app.read_log(0, ALL).await.map_err(text)?;
    let positions: Vec<u64> = log.iter().map(|event| event.position).collect();
    same("the positions of the log", &(1..=log.len() as u64).collect(), &positions)?;
    let mut streams: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    let (mut accounts, mut receipts) = (Vec::new(), Tags::new());
    for event in &log {
        streams.entry((&event.aggregate_type, &event.aggregate_id)).or_default().push(event.version);
        let tag = tag_of(event.data.as_bytes());
        match event.aggregate_type.as_str() {
            "account" => accounts.push((event.aggregate_id.clone(), tag)),
            _ => receipts.entry(("ledger".into(), event.aggregate_id[2..].to_owned())).or_default().push(tag),
        }
    }
    for (stream, versions) in streams {
        same(&format!("the versions of {stream:?}"), &(1..=versions.len() as u64).collect(), &versions)?;
    }
    let must: Vec<(String, String)> =
        reference.log.iter().map(|ev| (ev.account.clone(), ev.tag.clone())).collect();
    same("the events of the log", &must, &accounts)?;
    let ledger = reference
        .lanes
        .iter()
        .filter(|((handler, _), lane)| *handler == "ledger" && !lane.effects.is_empty());
    let must = ledger.map(|((handler, id), lane)| (((*handler).into(), id.clone()), lane.effects.clone()));
    same_tags("the receipts that the ledger appended", &must.collect(), &receipts)?;
    for (position, tag) in acknowledged {
        let is = log.get(*position as usize - 1).map(|event| tag_of(event.data.as_bytes()));
        same(&format!("what was acknowledged at position {position}"), &Some(tag.clone()), &is)?;
    }
    for (id, (balance, _)) in reference.rows() {
        let (state, version) = app.load::<Account>(&id).await.map_err(text)?;
        same(&format!("the state of {id}"), &(balance, reference.version(&id)), &(state.balance(), version))?;
    }
    Ok(())
}

async fn held(app: &App) -> Result<Tags, Error> {
    let mut held = Tags::new();
    for letter in app.dead_letters().list(None, true, 0).await? {
        let mut ids = vec![letter.id];
        ids.extend(app.dead_letters().show(letter.id).await?.parked.iter().map(|parked| parked.id));
        let mut tags = Vec::new();
        for id in ids {
            tags.push(match app.dead_letters().show(id).await?.value {
                Some(Bytes::Text(value)) => tag_of(value.as_bytes()),
                other => format!("{other:?}"),
            });
        }
        held.entry((letter.handler, letter.key)).or_default().extend(tags);
    }
    Ok(held)
}

async fn rows(app: &App) -> Result<Rows, Error> {
    let rows = app.read::<AccountRow>().limit(100).list().await?.rows;
    let rows: Rows = rows.into_iter().map(|row| (row.account, (row.balance, row.movements))).collect();
    if app.projections().iter().any(|name| name == "account_rows_split") {
        let split = app.read::<SplitRow>().limit(100).list().await?.rows;
        let split: Rows = split.into_iter().map(|row| (row.account, (row.balance, row.movements))).collect();
        if split != rows {
            return Ok(split); // the other is what the reference has, or this is shown
        }
    }
    Ok(rows)
}

/// Every topic has every public event at least once, first appearances in the log's order per key.
pub(crate) async fn topics(app: &App) -> Result<(), String> {
    let mut must = Tags::new();
    for event in app.read_log(0, ALL).await.map_err(text)? {
        if let Some(Message { topic, .. }) = Message::of(&event).unwrap() {
            must.entry((topic, event.aggregate_id.clone())).or_default().push(event.event_id.to_string());
        }
    }
    let known: HashSet<&String> = must.values().flatten().collect();
    let topics = ["accounts.events", "alerts.events", "receipts.events"].map(str::to_owned);
    let text = |error: factstream_core::broker::BrokerError| error.to_string();
    let mut subscription = app.broker().subscribe("checker", &topics, &[]).await.map_err(text)?;
    let (mut seen, mut is) = (HashSet::new(), Tags::new());
    loop {
        let records = subscription.poll(ALL, Duration::ZERO).await.map_err(text)?;
        if records.is_empty() {
            break;
        }
        for record in records {
            let id = record.header("event_id").unwrap_or_default().to_owned();
            if known.contains(&id) && seen.insert(id.clone()) {
                is.entry((record.partition.topic.clone(), record.order_key())).or_default().push(id);
            }
        }
    }
    same_tags("the public events on their topics", &must, &is)
}

/// After the last redrive no key stands still, and nothing waits.
pub(crate) async fn nothing_left(app: &App) -> Result<(), String> {
    for sql in [
        "SELECT event_key AS id FROM fs_blocked_keys",
        "SELECT event_id AS id FROM fs_dead_letters WHERE state IN ('retrying', 'parked', 'dead')",
    ] {
        let rows = app.store().query(sql, params![]).await.map_err(|error| error.to_string())?;
        let is: Vec<String> = rows.iter().map(|row| row.get("id").unwrap()).collect();
        same("what is left behind", &vec![], &is)?;
    }
    Ok(())
}

fn tag_of(value: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(value).unwrap_or_default();
    json["tag"].as_str().map_or_else(|| String::from_utf8_lossy(value).into_owned(), str::to_owned)
}

/// As [`same`], and shows only the keys that differ.
fn same_tags(what: &str, must: &Tags, is: &Tags) -> Result<(), String> {
    let keys: BTreeSet<_> = must.keys().chain(is.keys()).collect();
    for key in keys {
        same(&format!("{what}, of {key:?}"), &must.get(key), &is.get(key))?;
    }
    Ok(())
}

pub(crate) fn same<T: PartialEq + Debug>(what: &str, must: &T, is: &T) -> Result<(), String> {
    if must == is { Ok(()) } else { Err(format!("{what}\n   must be {must:?}\n   is      {is:?}")) }
}

pub(crate) fn text(error: Error) -> String {
    error.to_string()
}
