//! The relay: the log, in order, to the broker. The log is the outbox; there is no second table and no dual write (G5).
//!
//! Invariants: one relay per store at a time, by a lease. It publishes in log order and moves its checkpoint only after
//! the broker acknowledged; what it published before a crash is published again, never skipped. An event that can never be
//! published as it is stops its key, no other: it is a letter of the relay's ([`aside`]). So is one whose topic is missing, until
//! that is there.

mod aside;
mod fit;

use crate::error::Error;
use crate::health::Health;
use crate::kernel::Kernel;
use crate::kernel::names::RELAY as KEY;
use crate::processor::checkpoint::{self, Place};
use crate::tasks::joined;
use aside::Aside;
use factstream_core::broker::{BrokerError, PublishError};
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::message::Message;
use futures_util::future::try_join;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What its lease, its checkpoint (of the framework's own generation) and its status are called.
pub(crate) const NAME: &str = "relay";
const BATCH_EVENTS_MAX: usize = 2_000;
const IDLE_WAIT: Duration = Duration::from_millis(500);
/// So long without news, and the checkpoint is written by itself; else it is while the next batch is on its way.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(20);
/// How often letters are looked for that a person has sent on their way again, while there are any.
const LOOK_FOR_REDRIVEN: Duration = Duration::from_millis(250);
/// How many private events may pass before the checkpoint is written although nothing was published.
const UNWRITTEN_EVENTS_MAX: u64 = 10_000;

/// Events of the log as the broker takes them, and where they end.
#[derive(Default)]
struct Batch {
    last: Position,
    messages: Vec<Message>,
    /// Where each message's event lies.
    positions: Vec<Position>,
    /// Events of which no message can be made.
    unfit: Vec<Unfit>,
}

/// An event that can never be published as it is.
struct Unfit {
    position: Position,
    /// In whose order it is.
    key: String,
    reason: String,
}

/// Why a batch was not published whole, in a way that does not stop the relay.
enum Refusal {
    /// The message behind the acknowledged ones can never be published as it is.
    Unfit { acknowledged: usize, reason: String },
    /// There is no such topic now. Other topics take their messages.
    Missing { acknowledged: usize, topic: String, reason: String },
}

impl Refusal {
    fn acknowledged(&self) -> usize {
        match self {
            Self::Unfit { acknowledged, .. } | Self::Missing { acknowledged, .. } => *acknowledged,
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Unfit { reason, .. } | Self::Missing { reason, .. } => reason,
        }
    }
}

/// Publishes until `stop`. While a batch is on its way to the broker, the next one is made ready and the checkpoint moves to
/// the end of the one before.
pub(crate) async fn run(
    kernel: &Arc<Kernel>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let store = &kernel.store;
    let place = Place::own(NAME, store.history());
    let mut written = checkpoint::begin(store.as_ref(), &place, NAME).await?;
    let mut published_to = written;
    let mut aside = Aside::load(kernel).await?;
    let mut looked = Instant::now();
    let mut ahead = read(kernel, published_to);
    while !stop.is_cancelled() {
        if !aside.is_empty() && looked.elapsed() >= LOOK_FOR_REDRIVEN {
            aside.publish_redriven(kernel, &stop).await?;
            looked = Instant::now();
        }
        kernel.progress.reached(KEY, published_to);
        let batch = joined(ahead.await)?;
        place.refuse_other_history(store.as_ref())?;
        let Some(batch) = batch else {
            health.idle();
            let idle = if aside.is_empty() { IDLE_WAIT } else { LOOK_FOR_REDRIVEN };
            let wait = if written < published_to { CHECKPOINT_WAIT } else { idle };
            let head = tokio::select! {
                () = stop.cancelled() => break,
                head = store.wait_beyond(published_to, wait) => head?,
            };
            if head <= published_to {
                written = write_checkpoint(kernel, &place, written, published_to).await?;
            }
            ahead = read(kernel, published_to);
            continue;
        };
        let last = batch.last;
        ahead = read(kernel, last);
        health.running();
        if !aside.is_empty() || !batch.unfit.is_empty() {
            health.handled(aside.publish_around(kernel, &place, batch, written).await?);
            (written, published_to) = (last, last);
            continue;
        }
        let published = batch.messages.len() as u64;
        if published > 0 {
            let publish = publish(kernel, batch.messages);
            let refused;
            (refused, written) =
                try_join(publish, write_checkpoint(kernel, &place, written, published_to)).await?;
            if let Some(refused) = refused {
                // The messages are gone with it: they are made again, and go around what was refused.
                let mut batch = read_between(kernel, published_to, last).await?;
                batch.messages.drain(..refused.acknowledged());
                batch.positions.drain(..refused.acknowledged());
                health.handled(aside.publish_around(kernel, &place, batch, written).await?);
                (written, published_to) = (last, last);
                continue;
            }
            health.handled(published);
        }
        published_to = last;
        if published_to - written >= UNWRITTEN_EVENTS_MAX {
            written = write_checkpoint(kernel, &place, written, published_to).await?;
        }
    }
    write_checkpoint(kernel, &place, written, published_to).await?;
    Ok(())
}

/// Publishes in order, as far as that goes.
async fn publish(kernel: &Arc<Kernel>, messages: Vec<Message>) -> Result<Option<Refusal>, Error> {
    match kernel.broker.publish(messages).await {
        Ok(()) => Ok(None),
        Err(PublishError { acknowledged, source: BrokerError::Unfit(reason) }) => {
            Ok(Some(Refusal::Unfit { acknowledged, reason }))
        }
        Err(PublishError { acknowledged, source: source @ BrokerError::UnknownTopic { .. } }) => {
            let reason = source.to_string();
            let BrokerError::UnknownTopic { topic } = source else { return Ok(None) };
            Ok(Some(Refusal::Missing { acknowledged, topic, reason }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the next batch and makes its messages, while others work; nothing when the log has no more.
fn read(kernel: &Arc<Kernel>, after: Position) -> AbortOnDropHandle<Result<Option<Batch>, Error>> {
    let store = Arc::clone(&kernel.store);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let events = store.read_log(after, BATCH_EVENTS_MAX).await?;
        Ok(if events.is_empty() { None } else { Some(batch(&events)) })
    }))
}

/// Reads a batch again.
async fn read_between(kernel: &Arc<Kernel>, after: Position, last: Position) -> Result<Batch, Error> {
    let mut events = Vec::new();
    let mut read_to = after;
    while read_to < last {
        let more = kernel.store.read_log(read_to, BATCH_EVENTS_MAX).await?;
        let Some(end) = more.last() else { break };
        read_to = end.position;
        events.extend(more.into_iter().filter(|event| event.position <= last));
    }
    Ok(batch(&events))
}

async fn write_checkpoint(
    kernel: &Arc<Kernel>,
    place: &Place,
    written: Position,
    read_to: Position,
) -> Result<Position, Error> {
    if read_to > written {
        checkpoint::move_alone(kernel.store.as_ref(), place, written, read_to).await?;
    }
    Ok(read_to)
}

fn batch(events: &[RecordedEvent]) -> Batch {
    let mut batch = Batch { messages: Vec::with_capacity(events.len()), ..Batch::default() };
    for event in events {
        batch.last = event.position;
        match Message::of(event) {
            Ok(Some(message)) => {
                batch.messages.push(message);
                batch.positions.push(event.position);
            }
            Ok(None) => {}
            Err(error) => {
                let (key, reason) = (event.aggregate_id.clone(), fit::reason(event, &error));
                batch.unfit.push(Unfit { position: event.position, key, reason });
            }
        }
    }
    batch
}
