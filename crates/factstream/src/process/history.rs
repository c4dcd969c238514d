//! What an instance has taken, step by step: to look at, and to make its state again without its acts.

use super::acts::Act;
use super::input::{Input, Refused};
use super::instances::{error, error_of};
use super::received::{message_type, read};
use super::step::take;
use super::traits::Process;
use crate::error::Error;
use crate::statements as sql;
use factstream_core::decode::{ContentError, Decoder};
use factstream_core::envelope::{Envelope, Position};
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::Store;
use jiff::Timestamp;
use serde::Serialize;

/// Steps that are read at once.
const STEPS_PER_READ: usize = 500;

/// What the table calls inputs.
pub(super) const EVENT: &str = "event";
pub(super) const REFUSED: &str = "refused";
pub(super) const TIMER: &str = "timer";
pub(super) const REBUILT: &str = "rebuilt";

/// One input that an instance has taken, and what it asked for then.
///
/// ```
/// # use factstream::process::{Step, Taken};
/// fn show(step: &Step) -> String {
///     match &step.input {
///         Taken::Event { event_type, position, .. } => format!("{event_type} at {position} -> {:?}", step.acts),
///         Taken::Refused(refused) => format!("{} was refused: {}", refused.command, refused.reason),
///         _ => String::new(),
///     }
/// }
/// # let _ = show;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// How many inputs it has taken with this one.
    pub version: u64,
    /// The input.
    pub input: Taken,
    /// What it asked for. Long texts are shortened.
    pub acts: Vec<Act>,
    /// When it was taken.
    pub at: Timestamp,
}

/// An input that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "input", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Taken {
    /// An event of the log, or a message of a topic.
    Event {
        /// Its id; of a message, that of the fact which holds it.
        event_id: String,
        /// Its type's name; empty when the log has it no more.
        event_type: String,
        /// Where it, or the fact, lies in the log.
        position: Position,
    },
    /// A command was refused.
    Refused(Refused),
    /// A timer was due.
    Timer {
        /// Its name.
        name: String,
    },
    /// No input: a person had the state made again from the history.
    Rebuilt,
}

/// The steps of an instance after a version, at most so many.
pub(super) async fn steps<P: Process>(
    store: &dyn Store,
    id: &str,
    after: u64,
    limit: usize,
) -> Result<Vec<Step>, Error> {
    let rows = store.query(sql::SELECT_PROCESS_STEPS, params![P::NAME, id, after, limit]).await?;
    rows.iter().map(|row| step_of::<P>(id, row)).collect()
}

fn step_of<P: Process>(id: &str, row: &Row) -> Result<Step, Error> {
    let acts =
        serde_json::from_str(&row.get::<String>("acts")?).map_err(|source| damaged::<P>(id, source))?;
    Ok(Step { version: row.get("step")?, input: taken_of::<P>(id, row)?, acts, at: row.get("at")? })
}

fn taken_of<P: Process>(id: &str, row: &Row) -> Result<Taken, Error> {
    Ok(match row.get::<String>("kind")?.as_str() {
        REFUSED => {
            let refused = serde_json::from_str(&row.get::<String>("input")?);
            Taken::Refused(refused.map_err(|source| damaged::<P>(id, source))?)
        }
        TIMER => Taken::Timer { name: row.get("input")? },
        REBUILT => Taken::Rebuilt,
        _ => {
            let recorded: String = row.get::<Option<String>>("event_type")?.unwrap_or_default();
            Taken::Event {
                event_id: row.get("input_id")?,
                event_type: message_type(P::NAME, &recorded).unwrap_or(&recorded).to_owned(),
                position: row.get("input_position")?,
            }
        }
    })
}

fn damaged<P: Process>(id: &str, source: serde_json::Error) -> Error {
    error::<P>(id, format!("its history is damaged: {}", ContentError::from(source)))
}

/// The state after the first `until` steps, made from them alone; and how many steps there were. What the steps asked for is not
/// done again.
pub(super) async fn replay<P: Process>(
    store: &dyn Store,
    decoder: &Decoder,
    id: &str,
    until: u64,
) -> Result<Option<(P, u64)>, Error> {
    let (mut state, mut version) = (P::default(), 0);
    while version < until {
        let left = usize::try_from(until - version).unwrap_or(STEPS_PER_READ).min(STEPS_PER_READ);
        let rows = store.query(sql::SELECT_PROCESS_STEPS, params![P::NAME, id, version, left]).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let step: u64 = row.get("step")?;
            if step != version + 1 {
                let missing = version + 1;
                return Err(error::<P>(
                    id,
                    format!("its history has no step {missing}; it cannot be made again from it"),
                ));
            }
            again(&mut state, decoder, id, row)?;
            version = step;
        }
    }
    Ok((version > 0).then_some((state, version)))
}

/// Has the state take the input of a step again.
fn again<P: Process>(state: &mut P, decoder: &Decoder, id: &str, row: &Row) -> Result<(), Error> {
    let taken = match taken_of::<P>(id, row)? {
        Taken::Rebuilt => return Ok(()),
        Taken::Refused(refused) => take(id, state, Input::Refused(&refused)),
        Taken::Timer { name } => take(id, state, Input::Timer(&name)),
        Taken::Event { position, .. } => {
            let event = event_of::<P>(decoder, id, position, row)?;
            take(id, state, Input::Event(&event))
        }
    };
    taken.map(drop).map_err(|failure| error_of::<P>(id, &failure))
}

fn event_of<P: Process>(
    decoder: &Decoder,
    id: &str,
    position: Position,
    row: &Row,
) -> Result<Envelope<P::Events>, Error> {
    if row.get::<Option<String>>("event_type")?.is_none() {
        return Err(error::<P>(
            id,
            format!("the event at position {position}, which it has taken, is not in the log any more"),
        ));
    }
    let mut recorded = sql::recorded_event(row)?;
    if let Some(edited) = row.get::<Option<String>>("input")? {
        recorded.data = edited;
    }
    let envelope = recorded.envelope().map_err(|source| damaged::<P>(id, source))?;
    read::<P>(decoder, envelope, &recorded.data).map_err(|reason| Error::Undecodable { position, reason })
}
