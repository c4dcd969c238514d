//! A projection in parts: each has a share of the keys, a checkpoint and a lease of its own, so that several processes can
//! be at work on one projection.
//!
//! Invariants: every key is in one shard, by the same hash as partitions (murmur2), so its events are handled in order by one
//! owner (G7). Dead letters and retries belong to the projection, not to a shard: they are per key anyway.

use factstream_core::partition::partition_of;

/// One part of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// All keys.
    pub(crate) const WHOLE: Self = Self { index: 0, of: 1 };

    /// The parts of a projection that has so many.
    pub(crate) fn all(of: u32) -> impl Iterator<Item = Self> {
        let of = of.max(1);
        (0..of).map(move |index| Self { index, of })
    }

    /// The part at this place among so many.
    pub(crate) fn of(index: u32, of: u32) -> Self {
        Self { index, of: of.max(1) }
    }

    /// The one part that a key is in.
    pub(crate) fn of_key(key: &str, of: u32) -> Self {
        Self { index: partition_of(key.as_bytes(), of.max(1)), of: of.max(1) }
    }

    /// Whether a key is in it.
    pub(crate) fn has(self, key: &str) -> bool {
        self.of == 1 || Self::of_key(key, self.of) == self
    }

    /// Its place among the parts, from 0.
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    /// Whether it is the first part, or all.
    pub(crate) fn is_first(self) -> bool {
        self.index == 0
    }

    /// How many parts there are.
    pub(crate) fn count(self) -> u32 {
        self.of
    }

    /// What its status and lease are called: `orders` when it is all of it, else `orders#2/4`.
    pub(crate) fn name(self, projection: &str) -> String {
        match self.of {
            1 => projection.to_owned(),
            of => format!("{projection}#{}/{of}", self.index + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_exactly_one_shard() {
        for of in [1, 2, 3, 7] {
            for key in (0..200).map(|n| format!("order-{n}")) {
                let owners: Vec<Shard> = Shard::all(of).filter(|shard| shard.has(&key)).collect();
                assert_eq!(owners, [Shard::of_key(&key, of)]);
            }
        }
        assert_eq!(Shard::all(2).map(|shard| shard.name("p")).collect::<Vec<_>>(), ["p#1/2", "p#2/2"]);
        assert_eq!(Shard::WHOLE.name("p"), "p");
    }
}
