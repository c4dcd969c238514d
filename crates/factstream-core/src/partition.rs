//! Partitions, and which of them a key goes to: murmur2 as Kafka's Java clients have it (librdkafka's `murmur2_random`).
//!
//! Source: Kafka's `org.apache.kafka.common.utils.Utils.murmur2` and its `BuiltInPartitioner`; Austin Appleby's
//! MurmurHash2 with Kafka's seed. The test vectors are those of Kafka's own `UtilsTest`.

use std::fmt;

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// The partition, from 0.
    pub partition: u32,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The partition, from 0, of a key among `partitions` (at least 1).
///
/// ```
/// let partition = factstream_core::partition::partition_of(b"order-1", 6);
/// assert!(partition < 6);
/// ```
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// 32-bit MurmurHash2 with Kafka's seed.
pub fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_kafkas_own_tests() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash.cast_unsigned(), "{key}");
        }
    }

    #[test]
    fn a_partition_is_always_in_range() {
        assert_eq!(partition_of(b"x", 0), 0);
        for n in 1..20 {
            assert!(partition_of(&[n], u32::from(n)) < u32::from(n));
        }
    }
}
