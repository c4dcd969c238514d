//! Events beside the log: letters, and records of the embedded broker. Each is read by the handler that would be given it.

use super::super::catalogue::EventCatalogue;
use super::matrix::{HistoryMatrix, Place};
use crate::app::App;
use crate::broker::record;
use crate::error::Error;
use crate::processor::Spec;
use crate::processor::delivery::{Content, Delivery, Known};
use crate::processor::letters::Letter;
use crate::statements as sql;
use factstream_core::broker::{POLL_BYTES_MAX, Partition};
use factstream_core::decode::EventOrigin;
use factstream_core::message::Record;
use factstream_core::params;

/// Rows read at once; a row may hold a whole event.
const PAGE_ROWS: usize = 500;
/// What an event without a name is counted as.
const UNNAMED: &str = "(no event_type)";

/// The letters that wait.
pub(super) async fn letters(
    app: &App,
    catalogue: &EventCatalogue,
    matrix: &mut HistoryMatrix,
) -> Result<(), Error> {
    let mut after = 0_u64;
    loop {
        let rows = app.store().query(sql::SELECT_WAITING_LETTERS, params![after, PAGE_ROWS]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.get("id")?;
        for row in &rows {
            let letter = Letter::of_row(row)?;
            let spec =
                app.specs().iter().find(|spec| spec.handler == letter.handler || spec.name == letter.handler);
            let (id, handler) = (letter.id, letter.handler);
            let known = Known::As(&letter.identity);
            let at = || format!("letter {id} of {handler}");
            count(app, catalogue, matrix, (Place::Letters, letter.record, known), spec.as_slice(), at);
        }
    }
}

/// The records of the embedded broker's topics.
pub(super) async fn records(
    app: &App,
    catalogue: &EventCatalogue,
    matrix: &mut HistoryMatrix,
) -> Result<(), Error> {
    let store = app.store();
    let partitions = "SELECT DISTINCT topic, partition FROM fs_records ORDER BY topic, partition";
    for row in store.query(partitions, params![]).await? {
        let partition = Partition { topic: row.get("topic")?, partition: row.get("partition")? };
        let readers: Vec<&Spec> = app.specs().iter().filter(|spec| reads(spec, &partition.topic)).collect();
        let mut from = 0_i64;
        loop {
            let params = params![&partition.topic, partition.partition, from, PAGE_ROWS, POLL_BYTES_MAX];
            let rows = store.query(sql::SELECT_RECORDS, params).await?;
            let Some(last) = rows.last() else { break };
            from = last.get::<i64>("record_offset")? + 1;
            for row in &rows {
                let record = record(&partition, row)?;
                let offset = record.offset;
                let at = || format!("{partition}, offset {offset}");
                count(app, catalogue, matrix, (Place::Records, record, Known::Itself), &readers, at);
            }
        }
    }
    Ok(())
}

fn reads(spec: &Spec, topic: &str) -> bool {
    spec.source.topics().iter().any(|of| of == topic)
}

/// Has the record read by these handlers, or by its type alone where nobody would be given it.
fn count(
    app: &App,
    catalogue: &EventCatalogue,
    matrix: &mut HistoryMatrix,
    (place, record, known): (Place, Record, Known<'_>),
    readers: &[&Spec],
    at: impl FnOnce() -> String,
) {
    let version = record.header("schema_version").and_then(|text| text.parse().ok()).unwrap_or(1);
    let event_type = record.header("event_type").unwrap_or(UNNAMED).to_owned();
    let mut name = event_type.clone();
    let mut read = Ok(());
    let mut is_read = false;
    for spec in readers {
        let delivery = Delivery::of_record(record.clone(), known, spec.reaction.as_ref(), &app.service());
        if let Some(named) = &delivery.event_type {
            name.clone_from(named);
        }
        match delivery.content {
            Content::Ready { .. } | Content::Skipped => is_read = true,
            Content::Unreadable(reason) if read.is_ok() => {
                read = Err(format!("{} cannot read it: {reason}", spec.handler));
            }
            Content::NotMine | Content::Unreadable(_) => {}
        }
    }
    if read.is_ok() && !is_read && catalogue.declarations_of(&event_type).next().is_some() {
        read = match record.envelope_known_as(None) {
            Ok(envelope) => {
                let json = envelope.event.clone();
                catalogue.read_text(&event_type, version, &json, &|| EventOrigin::of_envelope(&envelope))
            }
            Err(reason) => Err(reason.to_string()),
        };
    }
    matrix.count(place, (&name, version), read, at);
}
