//! How far streams reach, as far as it is remembered: what an append that expects nothing is tried at, and which appends have
//! no chance. Only a hint, so that other processes, collisions and forgetting do no harm: the server looks itself.

use factstream_core::envelope::{StreamId, Version};
use factstream_core::store::{Append, Expected};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of so many streams it is remembered; then all of them are forgotten.
const STREAMS_MAX: usize = 8_192;

#[derive(Default)]
pub(crate) struct Reached {
    versions: Mutex<HashMap<u64, Version>>,
    hashes: RandomState,
}

impl Reached {
    /// The version that the append's stream is assumed to be at, and takes it further; nothing when there is none to assume, or
    /// the stream has moved on from what the append expects.
    pub(crate) fn take_further(&self, append: &Append) -> Option<Version> {
        let stream = self.hashes.hash_one(&append.stream);
        let mut versions = self.versions();
        let known = versions.get(&stream).copied();
        let from = match append.expected {
            Expected::Exact(version) if known.is_none_or(|known| known <= version) => version,
            Expected::Exact(_) => return None,
            Expected::Any => known?,
        };
        // A number that no stream can have is for the lock to answer.
        let to = from.checked_add(append.events.len() as u64).filter(|to| i64::try_from(*to).is_ok())?;
        put(&mut versions, stream, to);
        Some(from)
    }

    /// The stream was found to be at this version.
    pub(crate) fn learn(&self, stream: &StreamId, version: Version) {
        put(&mut self.versions(), self.hashes.hash_one(stream), version);
    }

    /// Where these streams are is not known any more.
    pub(crate) fn forget<'a>(&self, streams: impl Iterator<Item = &'a StreamId>) {
        let mut versions = self.versions();
        for stream in streams {
            versions.remove(&self.hashes.hash_one(stream));
        }
    }

    /// Where any stream is is not known any more.
    pub(crate) fn forget_all(&self) {
        self.versions().clear();
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<u64, Version>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(versions: &mut HashMap<u64, Version>, stream: u64, version: Version) {
    if versions.len() >= STREAMS_MAX && !versions.contains_key(&stream) {
        versions.clear();
    }
    versions.insert(stream, version);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn append(expected: Expected, events: usize) -> Append {
        let event = factstream_conformance::support::event("{}");
        Append { stream: StreamId::new("order", "o-1").unwrap(), expected, events: vec![event; events] }
    }

    #[test]
    fn a_stream_is_assumed_where_it_was_taken_and_what_expects_less_has_no_chance() {
        let reached = Reached::default();
        assert_eq!(reached.take_further(&append(Expected::Any, 1)), None, "nothing is known");
        assert_eq!(reached.take_further(&append(Expected::Exact(0), 2)), Some(0));
        assert_eq!(reached.take_further(&append(Expected::Exact(0), 1)), None);
        assert_eq!(reached.take_further(&append(Expected::Any, 3)), Some(2));
        assert_eq!(
            reached.take_further(&append(Expected::Exact(9), 1)),
            Some(9),
            "others may have been there"
        );
        let stream = append(Expected::Any, 0).stream;
        reached.learn(&stream, 4);
        assert_eq!(reached.take_further(&append(Expected::Exact(4), 1)), Some(4), "also further back");
        reached.forget([&stream].into_iter());
        assert_eq!(reached.take_further(&append(Expected::Exact(1), 1)), Some(1));
        assert_eq!(reached.take_further(&append(Expected::Exact(u64::MAX), 1)), None);
    }

    #[test]
    fn it_remembers_no_more_than_its_limit() {
        let reached = Reached::default();
        for number in 0..=(STREAMS_MAX * 2) {
            reached.learn(&StreamId::new("order", number.to_string()).unwrap(), 1);
        }
        assert_eq!(reached.versions().len(), 1);
    }
}
