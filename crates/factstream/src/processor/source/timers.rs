//! A handler's timers that are due, and between them what another source gives, where there is one (G16).
//!
//! Invariants: a batch is of timers or of the other source, never of both. A timer is given when the store's clock, asked just then, has
//! reached its time, and never before. Nothing is asked of the timers between two looks: a look says when the next one is due, who sets
//! one in this process tells so, and one that another process has set is found by the look after [`LOOK`]. Where one batch of timers
//! follows another, the other source has every second turn.

use super::{Batch, End, For, Opening, Reader, Source};
use crate::error::Error;
use crate::kernel::{Kernel, StoreClock};
use crate::processor::delivery::Delivery;
use crate::processor::shard::Shard;
use crate::timer::{self, DueTimer};
use async_trait::async_trait;
use factstream_core::broker::Lag;
use factstream_core::envelope::Position;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::Store;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often it is looked for timers that other processes have set.
const LOOK: Duration = Duration::from_millis(250);
/// How often the index is looked at from its beginning, and not from the low-water mark on.
const WHOLE_LOOK: Duration = Duration::from_secs(30);
/// So far behind the clock the low-water mark stays: a transaction may commit so late after it has set a timer to be due at once.
const LOW_WATER_BEHIND: SignedDuration = SignedDuration::from_secs(60);
/// By so much this process's idea of the store's time may be behind the store's.
const CLOCK_DIFFERS: SignedDuration = SignedDuration::from_secs(1);

/// Timers alone.
pub(crate) struct Timers;

/// Timers, beside another source.
pub(crate) struct WithTimers(pub(crate) Arc<dyn Source>);

#[async_trait]
impl Source for Timers {
    fn has_checkpoint(&self) -> bool {
        false
    }

    fn has_one_owner(&self, _kernel: &Kernel) -> bool {
        true
    }

    async fn lag(&self, kernel: &Kernel, handler: &str, _at: Position) -> Result<Lag, Error> {
        overdue(kernel, handler).await
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(TimersReader::new(None, &opening)))
    }
}

#[async_trait]
impl Source for WithTimers {
    fn has_checkpoint(&self) -> bool {
        self.0.has_checkpoint()
    }

    fn topics(&self) -> &[String] {
        self.0.topics()
    }

    fn has_one_owner(&self, kernel: &Kernel) -> bool {
        self.0.has_one_owner(kernel)
    }

    async fn lag(&self, kernel: &Kernel, handler: &str, at: Position) -> Result<Lag, Error> {
        let (other, overdue) = (self.0.lag(kernel, handler, at).await?, overdue(kernel, handler).await?);
        let oldest = [other.oldest, overdue.oldest].into_iter().flatten().min();
        Ok(Lag { events: other.events + overdue.events, oldest, ..other })
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Box<dyn Reader>, Error> {
        let other = self.0.open(opening).await?;
        Ok(Box::new(TimersReader::new(Some(other), &opening)))
    }
}

/// Whether timers of a handler are due, and since when.
async fn overdue(kernel: &Kernel, handler: &str) -> Result<Lag, Error> {
    let (store, now) = (kernel.store.as_ref(), kernel.clock.now());
    let due = timer::next_due(store, handler, Timestamp::UNIX_EPOCH).await?.filter(|due| *due <= now);
    Ok(Lag { events: u64::from(due.is_some()), oldest: due, ..Lag::default() })
}

struct TimersReader {
    other: Option<Box<dyn Reader>>,
    look: Look,
    of: For,
    /// Whether the last batch was one of timers.
    gave_timers: bool,
}

impl TimersReader {
    fn new(other: Option<Box<dyn Reader>>, opening: &Opening<'_>) -> Self {
        let kernel = opening.kernel;
        let look = Look {
            store: Arc::clone(&kernel.store),
            clock: Arc::clone(&kernel.clock),
            news: kernel.timer_news.follow(),
            handler: opening.handler.to_owned(),
            shard: opening.shard,
            low_water: Timestamp::UNIX_EPOCH,
            looked_whole: Instant::now(),
            looked: None,
            next: None,
        };
        Self { other, look, of: For::of(opening), gave_timers: false }
    }

    async fn timers(&mut self, most: usize) -> Result<Option<Batch>, Error> {
        let due = self.look.due(most).await?;
        if due.is_empty() {
            return Ok(None);
        }
        self.gave_timers = true;
        let For { reaction, service } = &self.of;
        let deliveries = due.into_iter().map(|timer| Delivery::of_timer(timer, reaction.as_ref(), service));
        Ok(Some(Batch {
            deliveries: deliveries.collect(),
            end: End::Timers,
            skipped: 0,
            passed_over: Vec::new(),
            newest: Vec::new(),
            skipped_types: BTreeMap::new(),
        }))
    }
}

#[async_trait]
impl Reader for TimersReader {
    async fn next(&mut self, events_max: usize, wait: Duration) -> Result<Option<Batch>, Error> {
        let turn_of_other = std::mem::take(&mut self.gave_timers) && self.other.is_some();
        if !turn_of_other && let Some(batch) = self.timers(events_max).await? {
            return Ok(Some(batch));
        }
        let wait = if turn_of_other { Duration::ZERO } else { self.look.wait(wait) };
        if let Some(other) = &mut self.other {
            if let Some(batch) = other.next(events_max, wait).await? {
                return Ok(Some(batch));
            }
        } else {
            let _ = tokio::time::timeout(wait, self.look.news.changed()).await;
        }
        self.timers(events_max).await
    }

    async fn commit(&mut self, end: &End) -> Result<(), Error> {
        match (&mut self.other, end) {
            (Some(other), End::Position(_) | End::Offsets(_)) => other.commit(end).await,
            _ => Ok(()),
        }
    }

    fn read_to(&self) -> Option<Position> {
        self.other.as_ref().and_then(|other| other.read_to())
    }

    fn cluster(&self) -> Option<&str> {
        self.other.as_ref().and_then(|other| other.cluster())
    }
}

/// Looks for what is due.
struct Look {
    store: Arc<dyn Store>,
    clock: Arc<StoreClock>,
    news: watch::Receiver<u64>,
    handler: String,
    /// The share of the keys that is wanted.
    shard: Shard,
    /// No timer of this reader is due before.
    low_water: Timestamp,
    looked_whole: Instant,
    looked: Option<Instant>,
    /// When the next timer is due, as the last look found.
    next: Option<Timestamp>,
}

impl Look {
    /// The timers that are due, at most so many. Nothing that it gave before is in flight any more.
    async fn due(&mut self, most: usize) -> Result<Vec<DueTimer>, Error> {
        if !self.is_time() {
            return Ok(Vec::new());
        }
        self.looked = Some(Instant::now());
        self.news.borrow_and_update();
        let held = Arc::clone(&self.store);
        let store = held.as_ref();
        let believed = self.clock.fresh(store).await?;
        if self.looked_whole.elapsed() >= WHOLE_LOOK {
            (self.low_water, self.looked_whole) = (Timestamp::UNIX_EPOCH, Instant::now());
        }
        self.next = timer::next_due(store, &self.handler, self.low_water).await?;
        self.raise_low_water(self.next.unwrap_or(believed), believed);
        let soon = believed.saturating_add(CLOCK_DIFFERS).unwrap_or(believed);
        if self.next.is_none_or(|next| next > soon) {
            return Ok(Vec::new());
        }
        let now = match is_on(Sabotage::TimerLocalClock) {
            true => factstream_core::sql::now(),
            false => self.clock.ask(store).await?,
        };
        let mut found: Vec<DueTimer> = Vec::new();
        let mut last: Option<DueTimer> = None;
        while found.len() < most {
            let wanted = most - found.len();
            let page = timer::due(store, &self.handler, (self.low_water, now), last.as_ref(), wanted).await?;
            let is_last = page.len() < wanted;
            last = page.last().cloned();
            found.extend(page.into_iter().filter(|timer| self.shard.has(&timer.key)));
            if is_last {
                break;
            }
        }
        if !found.is_empty() {
            self.looked = None; // there may be more
        }
        Ok(found)
    }

    /// Whether it is time for a look.
    fn is_time(&self) -> bool {
        let looked = self.looked.map(|looked| looked.elapsed());
        looked.is_none_or(|ago| ago >= self.clock.wait_at_most(LOOK))
            || self.news.has_changed().unwrap_or(false)
            || self.next.is_some_and(|next| next <= self.clock.now())
    }

    /// What lies before the next timer has fired or was cancelled; but one that is set to be due at once may yet be committed.
    fn raise_low_water(&mut self, next: Timestamp, now: Timestamp) {
        let surely = now.checked_sub(LOW_WATER_BEHIND).unwrap_or(Timestamp::UNIX_EPOCH);
        self.low_water = self.low_water.max(next.min(surely));
    }

    /// How long to wait for something else: until the next timer is due, or the next look.
    fn wait(&self, wait: Duration) -> Duration {
        let until = self.next.map_or(Duration::MAX, |next| {
            Duration::try_from(next.duration_since(self.clock.now())).unwrap_or(Duration::ZERO)
        });
        self.clock.wait_at_most(wait.min(LOOK).min(until))
    }
}
