//! Messages that a topic does not take, and how big the pieces are in which messages are sent.
//!
//! A broker measures the piece and not the message: under a small `max.message.bytes` many small messages that were sent
//! together are refused as one. So a refused piece is sent again in smaller ones, until a message stands alone.

use factstream_core::broker::BrokerError;
use factstream_core::message::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The biggest piece, librdkafka's own default.
pub(super) const BATCH_BYTES_MAX: usize = 1_000_000;
/// In pieces of this, every message stands alone.
const ALONE: usize = 1;
/// Below this, pieces are not divided any further.
const BATCH_BYTES_MIN: usize = 4_096;
/// Each time pieces become this many times smaller.
const DIVISOR: usize = 4;

/// How big pieces shall be from now on: smaller when the message may have been refused for its company.
pub(super) fn next_batch_bytes(error: &KafkaError, message: &Message, batch_bytes: usize) -> usize {
    let is_too_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
    if !is_too_large || bytes(message) >= batch_bytes || batch_bytes == ALONE {
        return batch_bytes;
    }
    if batch_bytes <= BATCH_BYTES_MIN { ALONE } else { batch_bytes / DIVISOR }
}

pub(super) fn too_large(message: &Message) -> BrokerError {
    let (topic, key) = (&message.topic, message.key_text());
    BrokerError::Unfit(format!(
        "Kafka: a message of {} bytes is too large for topic {topic}, key {key:?}: raise the topic's max.message.bytes, \
         and above 1 MiB also message.max.bytes in the broker's URL",
        bytes(message)
    ))
}

/// Key, value and headers.
fn bytes(message: &Message) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    length(&message.key) + length(&message.value) + message.headers.bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use factstream_core::message::Headers;
    use jiff::Timestamp;

    #[test]
    fn pieces_become_smaller_until_the_message_stands_alone() {
        let message = Message {
            topic: "t".into(),
            key: Some("k".into()),
            value: Some(vec![b'x'; 100]),
            headers: Headers::new(),
            timestamp: Timestamp::UNIX_EPOCH,
        };
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        let mut sizes = vec![BATCH_BYTES_MAX];
        while let Some(size) = sizes.last().copied()
            && next_batch_bytes(&error, &message, size) < size
        {
            sizes.push(next_batch_bytes(&error, &message, size));
        }
        assert_eq!(sizes, [1_000_000, 250_000, 62_500, 15_625, 3_906, 1]);
        let other = KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue);
        assert_eq!(next_batch_bytes(&other, &message, 1_000), 1_000);
        let text = too_large(&message).to_string();
        assert!(text.contains("101 bytes") && text.contains("topic t") && text.contains("\"k\""), "{text}");
    }
}
