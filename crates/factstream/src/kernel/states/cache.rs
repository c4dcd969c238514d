//! The states that are kept, those that were used last. Bounded in entries and in bytes (G13).
//!
//! How much memory a state takes, nobody can be asked: it is estimated by what it was folded from, as it lies in the store: its snapshot
//! and the data of the events after that. A state that owns no memory of its own (numbers, flags) takes its size and no more,
//! however many events it was folded from. What was put last is always kept, so that one large state is no reason to read its
//! stream for each command.

use super::State;
use factstream_core::envelope::{StreamId, Version};
use lru::LruCache;
use std::any::Any;
use std::num::NonZeroUsize;

/// What an entry takes beside its state: keys, places in the list, the allocation.
const ENTRY_BYTES: usize = 256;

/// How many states are kept, and about how many bytes they may take together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) states: NonZeroUsize,
    pub(crate) bytes: usize,
}

/// A `State<A>`, its version, and the history of the log that it was folded from.
pub(super) struct Cached {
    pub(super) version: Version,
    pub(super) history: u64,
    pub(super) state: Box<dyn Any + Send + Sync>,
    bytes: usize,
}

impl Cached {
    pub(super) fn new<A: Send + Sync + 'static>(stream: &StreamId, state: State<A>) -> Self {
        let owned = if std::mem::needs_drop::<A>() { state.bytes } else { 0 };
        let names = stream.aggregate_type().len() + stream.id().len();
        let bytes = ENTRY_BYTES + size_of::<State<A>>() + names + owned;
        Self { version: state.version, history: state.history, state: Box::new(state), bytes }
    }
}

pub(super) struct Cache {
    states: LruCache<StreamId, Cached>,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub(super) fn new(limits: Limits) -> Self {
        Self { states: LruCache::new(limits.states), bytes: 0, bytes_max: limits.bytes }
    }

    pub(super) fn put(&mut self, stream: StreamId, cached: Cached) {
        self.bytes += cached.bytes;
        // What was in its place, or what was used the longest ago.
        if let Some((_, out)) = self.states.push(stream, cached) {
            self.bytes -= out.bytes;
        }
        while self.bytes > self.bytes_max && self.states.len() > 1 {
            let Some((_, out)) = self.states.pop_lru() else { break };
            self.bytes -= out.bytes;
        }
    }

    pub(super) fn pop(&mut self, stream: &StreamId) -> Option<Cached> {
        let out = self.states.pop(stream)?;
        self.bytes -= out.bytes;
        Some(out)
    }

    pub(super) fn get(&mut self, stream: &StreamId) -> Option<&Cached> {
        self.states.get(stream)
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.states.len(), self.bytes)
    }

    pub(super) fn peek(&self, stream: &StreamId) -> Option<&Cached> {
        self.states.peek(stream)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stream(number: usize) -> StreamId {
        StreamId::new("order", number.to_string()).unwrap()
    }

    fn put<A: Default + Send + Sync + 'static>(cache: &mut Cache, number: usize, bytes: usize) {
        let state = State { of: A::default(), version: 1, snapshot: 0, history: 0, bytes };
        let cached = Cached::new(&stream(number), state);
        cache.put(stream(number), cached);
    }

    fn cache(states: usize, bytes: usize) -> Cache {
        Cache::new(Limits { states: NonZeroUsize::new(states).unwrap(), bytes })
    }

    #[test]
    fn large_states_push_out_those_that_were_used_the_longest_ago() {
        let mut cache = cache(1_000, 10_000_000);
        for number in 0..100 {
            put::<String>(&mut cache, number, 1_000_000);
            assert!(cache.bytes <= 10_000_000 && cache.peek(&stream(number)).is_some());
        }
        assert_eq!(cache.states.len(), 9);
        assert!(cache.get(&stream(91)).is_some(), "it is used again, so another one goes");
        put::<String>(&mut cache, 100, 1_000_000);
        assert!(cache.peek(&stream(91)).is_some() && cache.peek(&stream(92)).is_none());
    }

    #[test]
    fn one_state_beyond_all_measure_is_kept_alone_until_the_next_one_comes() {
        let mut cache = cache(10, 1_000_000);
        put::<String>(&mut cache, 1, 100);
        put::<String>(&mut cache, 2, 50_000_000);
        assert!(cache.peek(&stream(1)).is_none() && cache.peek(&stream(2)).is_some());
        put::<String>(&mut cache, 3, 100);
        assert!(cache.peek(&stream(2)).is_none() && cache.bytes < 1_000);
    }

    #[test]
    fn a_state_without_memory_of_its_own_takes_no_more_with_more_events() {
        let mut cache = cache(2, 10_000);
        for number in 0..20 {
            put::<u64>(&mut cache, number, 50_000_000);
        }
        assert_eq!(cache.states.len(), 2, "their number is bounded, too");
        for number in 0..20 {
            cache.pop(&stream(number));
        }
        assert_eq!(cache.bytes, 0);
    }
}
