//! The relay: the log, in order, to the broker. The log is the outbox; there is no second table and no dual write (G5).
//!
//! Invariants: one relay per store at a time, by a lease. It publishes in log order and moves its checkpoint only after
//! the broker acknowledged; what it published before a crash is published again, never skipped.

use crate::app::App;
use crate::error::Error;
use crate::processor::{checkpoint, checkpoint_within};
use crate::status::Health;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::message::Message;
use factstream_core::store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The relay's name among the handlers.
pub(crate) const NAME: &str = "relay";
const BATCH_EVENTS_MAX: usize = 500;
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// How many private events may pass before the checkpoint is written although nothing was published.
const UNWRITTEN_EVENTS_MAX: u64 = 10_000;

/// Publishes until `stop`.
pub(crate) async fn run(app: &App, health: Arc<Health>, stop: CancellationToken) -> Result<(), Error> {
    let store = app.store();
    let mut written = checkpoint_within(store.as_ref(), NAME).await?;
    let mut read_to = written;
    while !stop.is_cancelled() {
        app.progress().reached(NAME, read_to);
        let events = store.read_log(read_to, BATCH_EVENTS_MAX).await?;
        let Some(last) = events.last().map(|event| event.position) else {
            health.idle();
            written = write_checkpoint(app, written, read_to).await?;
            tokio::select! {
                () = stop.cancelled() => break,
                news = store.wait_beyond(read_to, IDLE_WAIT) => { news?; }
            }
            continue;
        };
        health.running();
        let messages = messages(&events)?;
        let published = messages.len() as u64;
        if published > 0 {
            app.broker().publish(messages).await?;
            health.handled(published);
        }
        read_to = last;
        if published > 0 || read_to - written >= UNWRITTEN_EVENTS_MAX {
            written = write_checkpoint(app, written, read_to).await?;
        }
    }
    write_checkpoint(app, written, read_to).await?;
    Ok(())
}

async fn write_checkpoint(app: &App, written: Position, read_to: Position) -> Result<Position, Error> {
    if read_to > written {
        checkpoint::move_alone(app.store().as_ref(), NAME, written, read_to).await?;
    }
    Ok(read_to)
}

fn messages(events: &[RecordedEvent]) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::with_capacity(events.len());
    for event in events {
        let message = Message::of(event).map_err(|error| {
            let position = event.position;
            StoreError::Engine(format!("event {position} of the log is not as factstream wrote it: {error}"))
        })?;
        messages.extend(message);
    }
    Ok(messages)
}
