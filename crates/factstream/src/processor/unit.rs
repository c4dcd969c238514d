//! In whose order a handler takes events, and what a failure holds up: a key; with causal order, a key within its topic.
//!
//! Causes order what crosses topics. Were a key one queue for all topics, an effect could wait in it for a cause that is parked behind it, or
//! several keys for each other in a circle. Within a topic causes come before their effects, so its order never contradicts theirs.
//!
//! Invariant: at most one of the two queues has events of a key and topic, whatever builds came one after the other: an event goes behind
//! what its topic has waiting, else behind what its key has, and only begins the kind of queue that its own build knows.

use super::Processor;
use super::delivery::Delivery;
use super::letters::Letter;
use crate::error::Error;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::params;
use std::borrow::Cow;

/// Between a topic, which has no such character, and a key.
const SEPARATOR: char = '\u{1f}';

/// The key within the topic.
fn within(topic: &str, key: &str) -> String {
    format!("{topic}{SEPARATOR}{key}")
}

/// The key of a letter as people know it.
pub(crate) fn key_of<'u>(unit: &'u str, topic: &str) -> &'u str {
    let within = unit.strip_prefix(topic).and_then(|rest| rest.strip_prefix(SEPARATOR));
    within.unwrap_or(unit)
}

impl Delivery {
    /// What it may have to wait behind, in this order: its key within its topic, if it is of one, and its key.
    pub(crate) fn units(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let within = self.is_of_topic().then(|| within(self.topic(), &self.key).into());
        within.into_iter().chain([self.key.as_str().into()])
    }
}

/// Finds the units that are a key within a topic.
pub(super) const WITHIN_ANY: &str = "%\u{1f}%";

impl Letter {
    /// Whether it waits in one queue with all events of its key, as builds without causal order and early releases have it.
    pub(super) fn is_by_key_alone(&self) -> bool {
        self.unit == self.key()
    }
}

/// Splits the queue of a key into one for each topic, so that what waits for a cause is not before it. Each begins with a new look.
pub(super) async fn split(tx: &mut Tx, letter: &Letter) -> Result<(), Error> {
    let now = tx.kernel().clock.now();
    let (handler, key) = (&letter.handler, &letter.unit);
    let topics = tx.query(sql::SELECT_TOPICS_OF_KEY, params![handler, key]).await?;
    tx.sql("DELETE FROM fs_blocked_keys WHERE handler = $1 AND event_key = $2", params![handler, key])
        .await?;
    for row in &topics {
        let (topic, head, letters): (String, u64, u64) =
            (row.get("topic")?, row.get("head")?, row.get("letters")?);
        let unit = within(&topic, key);
        tx.sql(sql::MOVE_LETTERS, params![handler, key, &topic, &unit]).await?;
        let state = "UPDATE fs_dead_letters SET state = 'retrying', updated_at = $2 WHERE id = $1";
        tx.sql(state, params![head, now]).await?;
        tx.sql(sql::BLOCK_KEY, params![handler, &unit, head, now, None::<String>]).await?;
        let parked = "UPDATE fs_blocked_keys SET parked = $3 WHERE handler = $1 AND event_key = $2";
        tx.sql(parked, params![handler, &unit, letters - 1]).await?;
    }
    Ok(())
}

impl Processor {
    /// What is held up when the event is.
    pub(super) fn unit<'d>(&self, delivery: &'d Delivery) -> Cow<'d, str> {
        match self.options.causal {
            Some(_) => within(delivery.topic(), &delivery.key).into(),
            None => delivery.key.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_as_it_is() {
        for (unit, topic) in
            [("o-1", "orders.events"), ("", "orders.events"), ("orders.events", "orders.events")]
        {
            assert_eq!(key_of(unit, topic), unit);
            assert_eq!(key_of(&within(topic, unit), topic), unit);
        }
    }
}
