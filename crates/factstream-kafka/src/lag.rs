//! How far a group is behind: its committed offsets against the ends of the partitions, and how old the oldest record is between
//! them.

use crate::onlookers::{Onlooker, Onlookers, answered};
use crate::standing;
use factstream_core::broker::{BrokerError, Lag};
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use std::collections::HashMap;

pub(crate) async fn of(onlookers: &Onlookers, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
    let topics = topics.to_vec();
    onlookers.ask(group, move |client| ask(client, &topics)).await
}

fn ask(onlooker: &Onlooker, topics: &[String]) -> Result<Lag, BrokerError> {
    let client = &onlooker.client;
    let committed = standing::committed(onlooker, topics)?;
    let (mut events, mut waiting) = (0, HashMap::new());
    for element in committed.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (oldest, end) = answered(client, |wait| client.fetch_watermarks(topic, partition, wait))?;
        let at = match element.offset() {
            Offset::Offset(offset) => offset.max(oldest),
            _ => oldest,
        };
        if at < end {
            events += u64::try_from(end - at).unwrap_or(0);
            waiting.insert((topic.to_owned(), partition), at);
        }
    }
    let committers = standing::committers(&committed).into_iter().collect();
    Ok(Lag { events, oldest: onlooker.oldest(&waiting), missed: 0, committers })
}
