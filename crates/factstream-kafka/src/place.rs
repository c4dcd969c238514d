//! A partition as librdkafka names it.

use factstream_core::broker::Partition;

/// A partition as librdkafka names it.
pub(crate) type Place = (String, i32);

pub(crate) fn place(partition: &Partition) -> Place {
    (partition.topic.clone(), i32::try_from(partition.partition).unwrap_or(-1))
}

pub(crate) fn partition_of(topic: &str, partition: i32) -> Partition {
    Partition { topic: topic.to_owned(), partition: u32::try_from(partition).unwrap_or_default() }
}
