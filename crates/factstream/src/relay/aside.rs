//! Events that can never be published as they are, or not now, for their topic is missing: set aside as letters of the relay's, with
//! what comes behind them of their key.
//!
//! Invariants: what is set aside, and the checkpoint behind it, commit together. While a key has a letter, its later events
//! are parked behind it, and others flow. A letter that a person sends on its way again is published, and then what is parked
//! behind it, in order, before anything newer of its key (G5, G7, G9).

use super::{Batch, KEY, NAME, Refusal, Unfit, fit, publish};
use crate::error::Error;
use crate::handler::{Failure, Retry};
use crate::kernel::Kernel;
use crate::processor::checkpoint::{Place, move_params, move_statement};
use crate::processor::delivery::Delivery;
use crate::processor::letters::claim;
use crate::processor::letters::{self, Letter};
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::broker::BrokerError;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::message::Message;
use factstream_core::params;
use factstream_core::sql::placeholders;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Letters taken up at once, and keys asked for at once.
const KEYS_MAX: usize = 64;

/// When an event is tried again whose topic is missing: until it is there, or a person discards the event.
const MISSING: Retry = Retry {
    max_attempts: u32::MAX,
    initial: Duration::from_secs(1),
    factor: 2.0,
    max_delay: Duration::from_secs(15),
    jitter: 0.2,
};

/// Why an event is set aside.
enum Why {
    /// It can never be published as it is.
    Unfit(String),
    /// Its topic is missing.
    Missing(String),
}

/// What is set aside of a batch: why, or `None` where it only waits behind another event of its key.
type Held = BTreeMap<Position, Option<Why>>;

/// The keys that had a letter when it was looked last. Only the relay adds one; a discard may have freed it meanwhile.
pub(super) struct Aside {
    keys: HashSet<String>,
}

impl Aside {
    pub(super) async fn load(kernel: &Arc<Kernel>) -> Result<Self, Error> {
        let sql = "SELECT event_key FROM fs_blocked_keys WHERE handler = $1";
        let rows = kernel.store.query(sql, params![KEY]).await?;
        let keys = rows.iter().map(|row| row.get("event_key")).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Publishes what can be of a batch, sets the rest aside, and moves the checkpoint to its end; how many were published.
    pub(super) async fn publish_around(
        &mut self,
        kernel: &Arc<Kernel>,
        place: &Place,
        batch: Batch,
        written: Position,
    ) -> Result<u64, Error> {
        let last = batch.last;
        let mut waiting = self.still_waiting(kernel, &batch).await?;
        let (mut flowing, mut held) = divide(batch, &mut waiting);
        let published = loop {
            let messages = flowing.iter().map(|(_, message)| message.clone()).collect();
            let Some(refusal) = publish(kernel, messages).await? else { break flowing.len() };
            // What was acknowledged stays published; what comes of a key that waits, waits behind it.
            let rest = flowing.split_off(refusal.acknowledged().min(flowing.len()));
            let (count, reason) = (held.len(), refusal.reason().to_owned());
            flowing = hold(rest, refusal, &mut held);
            if flowing.is_empty() {
                break 0;
            }
            if held.len() == count {
                return Err(BrokerError::Engine(reason).into()); // it is about none of these messages
            }
        };
        self.set_aside(kernel, place, held, written, last).await?;
        Ok(published as u64)
    }

    /// Of the keys in a batch, those that have a letter now.
    async fn still_waiting(&self, kernel: &Arc<Kernel>, batch: &Batch) -> Result<HashSet<String>, Error> {
        let keys = batch.messages.iter().map(Message::key_text);
        let keys = keys.chain(batch.unfit.iter().map(|unfit| unfit.key.clone()));
        let keys: Vec<String> =
            keys.filter(|key| self.keys.contains(key)).collect::<HashSet<_>>().into_iter().collect();
        let mut waiting = HashSet::new();
        for some in keys.chunks(KEYS_MAX) {
            let list = placeholders(2, some.len());
            let sql =
                format!("SELECT event_key FROM fs_blocked_keys WHERE handler = $1 AND event_key IN ({list})");
            let mut params = params![KEY];
            params.extend(some.iter().map(Into::into));
            for row in kernel.store.query(&sql, params).await? {
                waiting.insert(row.get("event_key")?);
            }
        }
        Ok(waiting)
    }

    async fn set_aside(
        &mut self,
        kernel: &Arc<Kernel>,
        place: &Place,
        held: Held,
        written: Position,
        last: Position,
    ) -> Result<(), Error> {
        let mut tx = Tx::begin(kernel).await?;
        if tx.sql(move_statement(), move_params(place, written, last)).await? == 0 {
            return Err(Error::Superseded { handler: NAME.to_owned() });
        }
        let mut keys = Vec::new();
        for (position, why) in held {
            let Some(event) = event_at(kernel, position).await? else { continue };
            let key = event.aggregate_id.clone();
            let delivery = Delivery::of_the_log(event);
            let failure = match &why {
                Some(Why::Unfit(reason)) => Failure::permanent(reason.clone()),
                Some(Why::Missing(reason)) => Failure::transient(reason.clone()),
                None if letters::park(&mut tx, KEY, &delivery).await? => continue,
                // Its key was freed just now: it is the next to be published.
                None => Failure::transient("the event before it was discarded"),
            };
            let retry = if matches!(why, Some(Why::Missing(_))) { MISSING } else { Retry::default() };
            letters::hold(&mut tx, KEY, &key, &delivery, &failure, &retry).await?;
            tracing::error!(position, %key, ?failure, "an event cannot be published and is set aside; its key waits");
            keys.push(key);
        }
        tx.commit().await?;
        self.keys.extend(keys);
        Ok(())
    }

    /// Publishes the letters that a person has sent on their way again, each with what is parked behind it, in order.
    pub(super) async fn publish_redriven(
        &mut self,
        kernel: &Arc<Kernel>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let due = kernel
            .store
            .query(sql::SELECT_DUE_KEYS, params![KEY, kernel.clock.now(), Timestamp::MAX, KEYS_MAX])
            .await?;
        let mut missing = HashSet::new();
        for row in due {
            let mut next = Some(row.get::<u64>("head_id")?);
            while let Some(id) = next.filter(|_| !stop.is_cancelled()) {
                next = publish_letter(kernel, id, &mut missing).await?;
            }
        }
        *self = Self::load(kernel).await?;
        Ok(())
    }
}

/// Takes out of messages in order what is refused, and what is behind that of its key; the rest.
fn hold(messages: Vec<(Position, Message)>, refusal: Refusal, held: &mut Held) -> Vec<(Position, Message)> {
    let (mut keys, mut flowing) = (HashSet::new(), Vec::with_capacity(messages.len()));
    for (at, (position, message)) in messages.into_iter().enumerate() {
        let why = match &refusal {
            Refusal::Unfit { reason, .. } => (at == 0).then(|| Why::Unfit(reason.clone())),
            Refusal::Missing { topic, reason, .. } => {
                (message.topic == *topic).then(|| Why::Missing(reason.clone()))
            }
        };
        match (keys.contains(&message.key), why) {
            (true, _) => drop(held.insert(position, None)),
            (false, Some(why)) => {
                keys.insert(message.key);
                held.insert(position, Some(why));
            }
            (false, None) => flowing.push((position, message)),
        }
    }
    flowing
}

/// What of a batch flows, in order, and what is held: unfit events, and what is behind a letter or behind one of these.
fn divide(batch: Batch, waiting: &mut HashSet<String>) -> (Vec<(Position, Message)>, Held) {
    let Batch { messages, positions, unfit, .. } = batch;
    let (mut flowing, mut held) = (Vec::with_capacity(messages.len()), Held::new());
    let mut unfit = unfit.into_iter().peekable();
    for (position, message) in positions.into_iter().zip(messages) {
        while let Some(Unfit { position, key, reason }) = unfit.next_if(|unfit| unfit.position < position) {
            waiting.insert(key);
            held.insert(position, Some(Why::Unfit(reason)));
        }
        if waiting.contains(&message.key_text()) {
            held.insert(position, None);
        } else {
            flowing.push((position, message));
        }
    }
    held.extend(unfit.map(|Unfit { position, reason, .. }| (position, Some(Why::Unfit(reason)))));
    (flowing, held)
}

/// Publishes one letter that is due; the next of its key, when that is to follow. Topics that turn out to be missing are noted, and
/// not tried again for the next letters.
async fn publish_letter(
    kernel: &Arc<Kernel>,
    id: u64,
    missing: &mut HashSet<String>,
) -> Result<Option<u64>, Error> {
    let rows = kernel.store.query(letters::SELECT_LETTER, params![id]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let letter = Letter::of_row(row)?;
    let made = match event_at(kernel, u64::try_from(letter.record.offset).unwrap_or(0)).await? {
        Some(event) => fit::message(kernel, event, &letter),
        None => Err("it is no longer in the log; discard it".to_owned()),
    };
    let refused = match made {
        Ok(Some(message)) if missing.contains(&message.topic) => {
            Some(Why::Missing(BrokerError::UnknownTopic { topic: message.topic }.to_string()))
        }
        Ok(Some(message)) => match publish(kernel, vec![message]).await? {
            None => None,
            Some(Refusal::Unfit { reason, .. }) => Some(Why::Unfit(reason)),
            Some(Refusal::Missing { topic, reason, .. }) => {
                missing.insert(topic);
                Some(Why::Missing(reason))
            }
        },
        Ok(None) => None,
        Err(reason) => Some(Why::Unfit(reason)),
    };
    let mut tx = Tx::begin(kernel).await?;
    if !claim(&mut tx, &letter).await? {
        return Ok(None);
    }
    let next = match refused {
        None => letters::advance(&mut tx, &letter, "handled").await?,
        Some(Why::Unfit(reason)) => {
            letters::fail_again(&mut tx, &letter, &Failure::permanent(reason), &Retry::default()).await?;
            None
        }
        Some(Why::Missing(reason)) => {
            letters::fail_again(&mut tx, &letter, &Failure::transient(reason), &MISSING).await?;
            None
        }
    };
    tx.commit().await?;
    Ok(next)
}

async fn event_at(kernel: &Arc<Kernel>, position: Position) -> Result<Option<RecordedEvent>, Error> {
    let events = kernel.store.read_log(position.saturating_sub(1), 1).await?;
    Ok(events.into_iter().next().filter(|event| event.position == position))
}
