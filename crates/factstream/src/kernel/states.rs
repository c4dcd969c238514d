//! Aggregate states kept in memory, so that a command on a known aggregate reads nothing.
//!
//! Invariants: bounded (G13); an entry is a state and the stream's version that it was folded to. An entry may be older
//! than the store (another process wrote), never newer. So it is safe to decide on: an append checks the version (G2),
//! and a refusal is only believed after the stream was looked at.

mod cache;
#[cfg(test)]
mod tests;

use super::emitters::Emitters;
use crate::error::Error;
use crate::statements as sql;
use crate::tasks::lock;
pub(crate) use cache::Limits;
use cache::{Cache, Cached};
use factstream_core::aggregate::Aggregate;
use factstream_core::decode::{ContentError, Decoder, Upcasters, WiringError};
use factstream_core::envelope::{RecordedEvent, StreamId, Version};
use factstream_core::event::EventSet;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{Conflict, READ_BYTES_MAX, Store};
use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::Semaphore;

/// Events read at once while a stream is folded.
const PAGE_EVENTS: usize = 1_000;

/// The state of an aggregate, and what it stands on.
#[derive(Debug, Clone)]
pub(crate) struct State<A> {
    pub(crate) of: A,
    pub(crate) version: Version,
    /// The version of the newest snapshot known of, 0 without one.
    pub(crate) snapshot: Version,
    /// The history of the log that it was folded from.
    history: u64,
    /// How much of the store it stands for: its snapshot and the data of the events after that. About as much memory it takes.
    bytes: usize,
}

impl<A: Aggregate> State<A> {
    fn new(history: u64) -> Self {
        Self { of: A::default(), version: 0, snapshot: 0, history, bytes: 0 }
    }

    /// Folds recorded events; they follow on `version` without a gap.
    ///
    /// # Errors
    /// [`Error::Horizon`] where one is missing, [`Error::Undecodable`].
    pub(crate) fn fold(
        &mut self,
        stream: &StreamId,
        events: &[RecordedEvent],
        decoder: &Decoder,
    ) -> Result<(), Error> {
        for event in events {
            if event.version != self.version + 1 {
                let (missing, reaches) = (self.version + 1, event.version);
                return Err(Error::Horizon { stream: stream.clone(), missing, reaches });
            }
            if !decoder.drops(&event.event_type) {
                let decoded = decoder.decode_recorded::<A::Event>(event);
                let decoded =
                    decoded.map_err(|reason| Error::Undecodable { position: event.position, reason })?;
                self.of.apply(&decoded);
            }
            self.version = event.version;
            self.bytes += event.data.len();
        }
        Ok(())
    }

    /// Applies events that were just decided; together they have so many bytes of data.
    pub(crate) fn apply(&mut self, events: &[A::Event], bytes: usize) {
        for event in events {
            self.of.apply(event);
        }
        self.version += events.len() as Version;
        self.bytes += bytes;
    }
}

/// The parameters of `select_horizon.sql`.
pub(crate) fn horizon_of(stream: &StreamId) -> Params {
    factstream_core::params![stream.aggregate_type(), stream.id()]
}

/// A stream without events is new, unless they were deleted: then its version has outlived them.
pub(crate) fn check_begins(stream: &StreamId, version: Version, horizon: Vec<Row>) -> Result<(), Error> {
    let Some(row) = horizon.first().filter(|_| version == 0) else { return Ok(()) };
    Err(Error::Horizon { stream: stream.clone(), missing: 1, reaches: row.get("version")? })
}

/// Whether the stream has no more for certain.
fn is_whole(page: &[RecordedEvent]) -> bool {
    let bytes: usize = page.iter().map(RecordedEvent::bytes).sum();
    page.len() < PAGE_EVENTS && bytes < READ_BYTES_MAX
}

/// The cache, and the way from a stream to a state.
pub(crate) struct States {
    /// Whose history is asked for, once it is open.
    store: OnceLock<Arc<dyn Store>>,
    cache: Mutex<Cache>,
    decoders: Mutex<HashMap<TypeId, Decoder>>,
    upcasters: Upcasters,
    emitters: Mutex<Emitters>,
    /// The aggregates that the application declares.
    declared: HashSet<TypeId, lru::DefaultHasher>,
    snapshot_writers: Arc<Semaphore>,
    /// Command types whose last aggregate that was not in the cache was there already; of others it is taken to be new.
    continues_stream: Mutex<HashSet<&'static str, lru::DefaultHasher>>,
}

impl States {
    pub(crate) fn new(limits: Limits, upcasters: Upcasters, emitters: Emitters) -> Self {
        Self {
            store: OnceLock::new(),
            cache: Mutex::new(Cache::new(limits)),
            decoders: Mutex::default(),
            upcasters,
            declared: emitters.known().iter().copied().collect(),
            emitters: Mutex::new(emitters),
            snapshot_writers: Arc::new(Semaphore::new(1)),
            continues_stream: Mutex::default(),
        }
    }

    /// The state of an aggregate that is not there yet.
    pub(crate) fn begin<A: Aggregate>(&self) -> State<A> {
        State::new(self.history())
    }

    /// What is kept is kept of this store.
    pub(crate) fn follow(&self, store: Arc<dyn Store>) {
        let _ = self.store.set(store);
    }

    fn history(&self) -> u64 {
        self.store.get().map_or(0, |store| store.history())
    }

    /// Makes sure that this aggregate shares neither its type nor a name of an event with another one.
    pub(crate) fn admit<A: Aggregate>(&self) -> Result<(), Error> {
        if self.is_declared::<A>() { Ok(()) } else { lock(&self.emitters).add::<A>() }
    }

    /// Whether the application declares this aggregate.
    pub(crate) fn is_declared<A: Aggregate>(&self) -> bool {
        self.declared.contains(&TypeId::of::<A>())
    }

    /// The decoder of an event set, made and checked at its first use.
    pub(crate) fn decoder<S: EventSet>(&self) -> Result<Decoder, WiringError> {
        let mut decoders = lock(&self.decoders);
        if let Some(decoder) = decoders.get(&TypeId::of::<S>()) {
            return Ok(decoder.clone());
        }
        let decoder = self.upcasters.decoder_of(S::event_types())?;
        decoders.insert(TypeId::of::<S>(), decoder.clone());
        Ok(decoder)
    }

    /// Takes the state out of the cache; whoever took it puts it back.
    pub(crate) fn take<A: Aggregate>(&self, stream: &StreamId) -> Option<State<A>> {
        let cached = lock(&self.cache).pop(stream)?;
        let cached = Some(cached).filter(|cached| cached.history == self.history())?;
        cached.state.downcast().ok().map(|state| *state)
    }

    /// Whether a command of this type is decided as the first of its aggregate when that is not in the cache. A guess: the
    /// append, or a look before a refusal is believed, finds out when it is wrong.
    pub(crate) fn begins_streams(&self, command: &'static str) -> bool {
        !lock(&self.continues_stream).contains(command)
    }

    /// What a command of this type met: a stream to begin, or one that goes on.
    pub(crate) fn note_begin(&self, command: &'static str, begins: bool) {
        let mut continues_stream = lock(&self.continues_stream);
        if begins {
            continues_stream.remove(command)
        } else {
            continues_stream.insert(command)
        };
    }

    /// Another writer was faster. What is cached is old, and still what the next load begins with; only when the store does not
    /// come up to it, because it was restored from a backup, it is of no use any more.
    pub(crate) fn fell_behind(&self, conflict: &Conflict) {
        let mut cache = lock(&self.cache);
        if cache.peek(&conflict.stream).is_some_and(|cached| cached.version > conflict.actual) {
            cache.pop(&conflict.stream);
        }
    }

    /// A copy of the cached state.
    pub(crate) fn peek<A: Aggregate>(&self, stream: &StreamId) -> Option<State<A>> {
        let mut cache = lock(&self.cache);
        let cached = cache.get(stream).filter(|cached| cached.history == self.history())?;
        cached.state.downcast_ref::<State<A>>().cloned()
    }

    /// The version of the cached state, 0 where there is none.
    pub(crate) fn cached_version(&self, stream: &StreamId) -> Version {
        let cache = lock(&self.cache);
        cache
            .peek(stream)
            .filter(|cached| cached.history == self.history())
            .map_or(0, |cached| cached.version)
    }

    /// How many states are kept, and about how many bytes they take.
    #[cfg(test)]
    fn kept(&self) -> (usize, usize) {
        lock(&self.cache).kept()
    }

    pub(crate) fn put<A: Aggregate>(&self, stream: &StreamId, state: State<A>) {
        let cached = Cached::new(stream, state);
        lock(&self.cache).put(stream.clone(), cached);
    }

    /// The state as the store has it now: from `known` (or a snapshot, or nothing) and the events after it.
    pub(crate) async fn load<A: Aggregate>(
        &self,
        store: &dyn Store,
        stream: &StreamId,
        known: Option<State<A>>,
    ) -> Result<State<A>, Error> {
        self.admit::<A>()?;
        let decoder = self.decoder::<A::Event>()?;
        let history = self.history();
        let mut state = if let Some(state) = known {
            state
        } else {
            let snapshot = self.load_snapshot(store, stream).await?;
            snapshot.unwrap_or_else(|| State::new(history))
        };
        loop {
            let events = store.read_stream(stream, state.version, PAGE_EVENTS).await?;
            let whole = is_whole(&events);
            state.fold(stream, &events, &decoder)?;
            if whole {
                break;
            }
        }
        if state.version == 0 {
            check_begins(stream, 0, store.query(sql::SELECT_HORIZON, horizon_of(stream)).await?)?;
        }
        Ok(state)
    }

    /// The state as it was at `version`; `None` when the stream is shorter.
    pub(crate) async fn load_at<A: Aggregate>(
        &self,
        store: &dyn Store,
        stream: &StreamId,
        version: Version,
    ) -> Result<Option<A>, Error> {
        let decoder = self.decoder::<A::Event>()?;
        let mut state = State::<A>::new(self.history());
        while state.version < version {
            let missing = usize::try_from(version - state.version).unwrap_or(PAGE_EVENTS);
            let events = store.read_stream(stream, state.version, missing.min(PAGE_EVENTS)).await?;
            if events.is_empty() {
                check_begins(
                    stream,
                    state.version,
                    store.query(sql::SELECT_HORIZON, horizon_of(stream)).await?,
                )?;
                return Ok(None);
            }
            state.fold(stream, &events, &decoder)?;
        }
        Ok(Some(state.of))
    }

    pub(crate) async fn load_snapshot<A: Aggregate>(
        &self,
        store: &dyn Store,
        stream: &StreamId,
    ) -> Result<Option<State<A>>, Error> {
        let history = self.history();
        let Some(policy) = A::snapshots() else { return Ok(None) };
        let params = factstream_core::params![stream.aggregate_type(), stream.id()];
        let rows = store.query(sql::SELECT_SNAPSHOT, params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        if row.get::<u32>("schema_version")? != policy.schema_version {
            return Ok(None); // another shape: fold the events; the next snapshot replaces it
        }
        let version = row.get::<Version>("version")?;
        let json = row.get::<String>("state")?;
        match (policy.decode)(&json) {
            Ok(of) => Ok(Some(State { of, version, snapshot: version, history, bytes: json.len() })),
            Err(error) => {
                let error = ContentError::from(error);
                tracing::warn!(%stream, %error, "a snapshot does not fit its type; folding the events instead");
                Ok(None)
            }
        }
    }

    /// Writes a snapshot in the background when one is due. At most one at a time; a due one that finds the writer busy
    /// is taken at a later command.
    pub(crate) fn snapshot_if_due<A: Aggregate>(
        &self,
        store: &Arc<dyn Store>,
        stream: &StreamId,
        state: &mut State<A>,
    ) {
        let Some(policy) = A::snapshots() else { return };
        if state.version - state.snapshot < policy.every_events {
            return;
        }
        let Ok(permit) = Arc::clone(&self.snapshot_writers).try_acquire_owned() else { return };
        let json = match (policy.encode)(&state.of) {
            Ok(json) => json,
            Err(error) => {
                tracing::warn!(%stream, %error, "the state cannot be written as a snapshot");
                return;
            }
        };
        (state.snapshot, state.bytes) = (state.version, json.len());
        let params = factstream_core::params![
            stream.aggregate_type(),
            stream.id(),
            state.version,
            policy.schema_version,
            json,
            factstream_core::sql::now()
        ];
        let (store, stream) = (Arc::clone(store), stream.clone());
        tokio::spawn(async move {
            let written = async {
                let mut tx = store.begin().await?;
                tx.execute(sql::UPSERT_SNAPSHOT, params).await?;
                tx.commit(Vec::new()).await
            };
            if let Err(error) = written.await {
                tracing::warn!(%stream, %error, "a snapshot was not written; it is taken again later");
            }
            drop(permit);
        });
    }
}
