//! The relay: the log, in order, to the broker. The log is the outbox; there is no second table and no dual write (G5).
//!
//! Invariants: one relay per store at a time, by a lease. It publishes in log order and moves its checkpoint only after
//! the broker acknowledged; what it published before a crash is published again, never skipped.

use crate::app::App;
use crate::error::Error;
use crate::processor::checkpoint::{self, Place};
use crate::status::Health;
use crate::supervisor::joined;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::message::Message;
use factstream_core::store::StoreError;
use futures_util::future::try_join;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What its lease, its checkpoint (of the framework's own generation) and its status are called.
pub(crate) const NAME: &str = "relay";
/// What it is called where names of handlers stand, none of which begins like this.
pub(crate) const KEY: &str = "fs:relay";
const BATCH_EVENTS_MAX: usize = 2_000;
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// So long without news, and the checkpoint is written by itself; else it is while the next batch is on its way.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(20);
/// How many private events may pass before the checkpoint is written although nothing was published.
const UNWRITTEN_EVENTS_MAX: u64 = 10_000;

/// Events of the log as the broker takes them, and where they end.
struct Batch {
    last: Position,
    messages: Vec<Message>,
}

/// Publishes until `stop`. While a batch is on its way to the broker, the next one is made ready and the checkpoint moves to
/// the end of the one before.
pub(crate) async fn run(app: &App, health: Arc<Health>, stop: CancellationToken) -> Result<(), Error> {
    let store = app.store();
    let place = Place::own(NAME, store.history());
    let mut written = checkpoint::begin(store.as_ref(), &place, NAME).await?;
    let mut published_to = written;
    let mut ahead = read(app, published_to);
    while !stop.is_cancelled() {
        app.progress().reached(KEY, published_to);
        let batch = joined(ahead.await)?;
        place.refuse_other_history(store.as_ref())?;
        let Some(Batch { last, messages }) = batch else {
            health.idle();
            let wait = if written < published_to { CHECKPOINT_WAIT } else { IDLE_WAIT };
            let head = tokio::select! {
                () = stop.cancelled() => break,
                head = store.wait_beyond(published_to, wait) => head?,
            };
            if head <= published_to {
                written = write_checkpoint(app, &place, written, published_to).await?;
            }
            ahead = read(app, published_to);
            continue;
        };
        ahead = read(app, last);
        health.running();
        let published = messages.len() as u64;
        if published > 0 {
            let publish = async { Ok(app.broker().publish(messages).await?) };
            ((), written) = try_join(publish, write_checkpoint(app, &place, written, published_to)).await?;
            health.handled(published);
        }
        published_to = last;
        if published_to - written >= UNWRITTEN_EVENTS_MAX {
            written = write_checkpoint(app, &place, written, published_to).await?;
        }
    }
    write_checkpoint(app, &place, written, published_to).await?;
    Ok(())
}

/// Reads the next batch and makes its messages, while others work; nothing when the log has no more.
fn read(app: &App, after: Position) -> AbortOnDropHandle<Result<Option<Batch>, Error>> {
    let store = Arc::clone(app.store());
    AbortOnDropHandle::new(tokio::spawn(async move {
        let events = store.read_log(after, BATCH_EVENTS_MAX).await?;
        let Some(last) = events.last().map(|event| event.position) else { return Ok(None) };
        Ok(Some(Batch { last, messages: messages(&events)? }))
    }))
}

async fn write_checkpoint(
    app: &App,
    place: &Place,
    written: Position,
    read_to: Position,
) -> Result<Position, Error> {
    if read_to > written {
        checkpoint::move_alone(app.store().as_ref(), place, written, read_to).await?;
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
