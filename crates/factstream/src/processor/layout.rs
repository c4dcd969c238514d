//! What earlier divisions of a projection into shards have handled.
//!
//! When the number of shards changes, the new shards begin where the slowest of the old ones stood. What the faster ones had
//! handled beyond that is known by their checkpoints, so no event is handled twice and none is passed over (G6).

use crate::processor::shard::Shard;
use factstream_core::envelope::Position;

/// One division: how far each of its shards came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) positions: Vec<Position>,
}

impl Layout {
    fn has_handled(&self, key: &str, position: Position) -> bool {
        let shards = u32::try_from(self.positions.len()).unwrap_or(u32::MAX);
        let shard = Shard::of_key(key, shards).index() as usize;
        self.positions.get(shard).is_some_and(|reached| position <= *reached)
    }

    pub(crate) fn furthest(&self) -> Position {
        self.positions.iter().copied().max().unwrap_or(0)
    }

    pub(crate) fn slowest(&self) -> Position {
        self.positions.iter().copied().min().unwrap_or(0)
    }
}

/// All earlier divisions that still say something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layouts(Vec<Layout>);

impl Layouts {
    pub(crate) fn new(layouts: Vec<Layout>) -> Self {
        Self(layouts)
    }

    /// Whether one of them has handled an event of the log.
    pub(crate) fn have_handled(&self, key: &str, position: Position) -> bool {
        self.0.iter().any(|layout| layout.has_handled(key, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_was_handled_when_the_shard_of_its_key_had_come_so_far() {
        let keys: Vec<String> = (0..50).map(|n| format!("order-{n}")).collect();
        let (slow, fast): (Vec<&String>, Vec<&String>) =
            keys.iter().partition(|key| Shard::of_key(key, 2).index() == 0);
        let layouts = Layouts::new(vec![Layout { positions: vec![10, 20] }]);
        assert!(slow.iter().all(|key| layouts.have_handled(key, 10) && !layouts.have_handled(key, 11)));
        assert!(fast.iter().all(|key| layouts.have_handled(key, 20) && !layouts.have_handled(key, 21)));
        assert!(!Layouts::default().have_handled("order-1", 1));
    }
}
