//! A look at single records that a group has not read, for their time. It joins nothing and commits nothing.

use crate::config::{Reasons, is_passing};
use crate::place::Place;
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a look may take: the status has a second for all that it asks.
const LOOK: Duration = Duration::from_millis(300);

/// What was seen, so that a group that stands still is not looked after again. One look at a time: a client has one assignment.
#[derive(Default)]
pub(super) struct Peeked(Mutex<HashMap<Place, Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    at: i64,
    /// `None` where there is no record from there on, only marks of transactions.
    published: Option<Timestamp>,
}

impl Peeked {
    /// The oldest time of the records at these offsets.
    pub(super) fn oldest(
        &self,
        client: &BaseConsumer<Reasons>,
        waiting: &HashMap<Place, i64>,
    ) -> Option<Timestamp> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|place, seen| waiting.get(place) == Some(&seen.at));
        if let Err(error) = look(client, waiting, &mut seen) {
            tracing::debug!(%error, "the oldest unread records could not be looked at");
        }
        seen.values().filter_map(|seen| seen.published).min()
    }
}

fn look(
    client: &BaseConsumer<Reasons>,
    waiting: &HashMap<Place, i64>,
    seen: &mut HashMap<Place, Seen>,
) -> KafkaResult<()> {
    let mut wanted = TopicPartitionList::new();
    for ((topic, partition), at) in waiting.iter().filter(|(place, _)| !seen.contains_key(*place)) {
        wanted.add_partition_offset(topic, *partition, Offset::Offset(*at))?;
    }
    if wanted.count() == 0 {
        return Ok(());
    }
    client.assign(&wanted)?;
    let looked = watch(client, waiting, seen, wanted.count());
    client.unassign()?;
    looked
}

fn watch(
    client: &BaseConsumer<Reasons>,
    waiting: &HashMap<Place, i64>,
    seen: &mut HashMap<Place, Seen>,
    mut left: usize,
) -> KafkaResult<()> {
    let deadline = Instant::now() + LOOK;
    while left > 0 && Instant::now() < deadline {
        match client.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => {
                let place = (message.topic().to_owned(), message.partition());
                let Some(at) = waiting.get(&place).copied().filter(|_| !seen.contains_key(&place)) else {
                    continue;
                };
                let millis = message.timestamp().to_millis();
                let published = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
                seen.insert(place, Seen { at, published });
                left -= 1;
            }
            // The end, and no record before it. Of which topic is not told; where two could be meant, the look takes its time.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let mut unseen =
                    waiting.iter().filter(|(place, _)| place.1 == partition && !seen.contains_key(*place));
                if let (Some((place, at)), None) = (unseen.next(), unseen.next()) {
                    seen.insert(place.clone(), Seen { at: *at, published: None });
                    left -= 1;
                }
            }
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Ok(())
}
