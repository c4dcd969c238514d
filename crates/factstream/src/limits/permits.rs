//! Permits of one handler's rate: taken from buckets in this process, or in blocks from those that all processes share.
//!
//! Invariants: a permit is used at or after its time and not later than the tolerance allows, by whoever is next; one that nobody has used
//! goes back. Buckets are bounded in number (G13), and one that is forgotten was full.

use super::pace::{Credible, NANOS_PER_SECOND, Pace};
use super::rate::{KeyOf, Rate};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::statements as sql;
use crate::tasks::lock;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// Keys that are told apart at a time.
const KEYS_MAX: usize = 10_000;
/// What further ones share, and events that have none.
const OTHERS: &str = "(others)";
/// A longer key is known by a digest (RFC 9562, version 5).
const KEY_BYTES_MAX: usize = 255;
const LONG_KEYS: Uuid = Uuid::from_u128(0x5b1e_3d0a_7c42_4f19_9e6b_20c8_4d7a_2026);

pub(super) struct Permits {
    handler: String,
    pace: Pace,
    is_shared: bool,
    key: Option<KeyOf>,
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
}

#[derive(Default)]
struct Bucket {
    /// How many have no permit of it yet.
    waiting: AtomicUsize,
    /// Permits that were taken and not used: when each is due.
    ahead: Mutex<BTreeSet<i64>>,
    /// Held while permits are taken, so that one who waits takes them for all.
    taking: tokio::sync::Mutex<Taking>,
    /// As far as this process knows, when the next one can be taken.
    next: Mutex<i64>,
}

/// How many permits of a shared rate are taken at once: twice as many when all of the last block were used in time, else one.
struct Taking {
    block: usize,
    has_lapsed: bool,
}

impl Default for Taking {
    fn default() -> Self {
        Self { block: 1, has_lapsed: false }
    }
}

/// A permit that is due. Dropped before it is used, it goes back.
pub(super) struct Permit {
    bucket: Arc<Bucket>,
    due: Option<i64>,
}

impl Permit {
    pub(super) fn use_up(mut self) {
        self.due = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(due) = self.due {
            lock(&self.bucket.ahead).insert(due);
        }
    }
}

/// One who waits, until it is dropped.
struct Waiting(Arc<Bucket>);

impl Waiting {
    fn at(bucket: &Arc<Bucket>) -> Self {
        bucket.waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(bucket))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Permits {
    pub(super) fn new(handler: &str, rate: &Rate, pace: Pace) -> Self {
        Self {
            handler: handler.to_owned(),
            pace,
            is_shared: rate.is_shared && !is_on(Sabotage::RatePerProcess),
            key: rate.key.clone(),
            buckets: Mutex::default(),
        }
    }

    /// How many of one key there are in a second, at least 1.
    pub(super) fn in_a_second(&self) -> usize {
        usize::try_from(NANOS_PER_SECOND as i64 / self.pace.interval).unwrap_or(1).max(1)
    }

    /// Waits until a permit for the event is due.
    pub(super) async fn wait(
        &self,
        event: &(dyn Any + Send + Sync),
        kernel: &Kernel,
    ) -> Result<Permit, Error> {
        let key = self.key_of(event);
        let bucket = self.bucket(&key, now(kernel));
        loop {
            let waiting = Waiting::at(&bucket);
            let permit = self.next(&bucket, &key, kernel).await?;
            drop(waiting);
            let Some(due) = permit.due else { continue };
            loop {
                let left = due - now(kernel);
                if left <= 0 {
                    break;
                }
                let left = Duration::from_nanos(left.unsigned_abs());
                tokio::time::sleep(kernel.clock.wait_at_most(left)).await;
            }
            if !self.pace.has_lapsed(due, now(kernel)) {
                return Ok(permit);
            }
            permit.use_up();
            bucket.taking.lock().await.has_lapsed = true;
        }
    }

    /// The next permit of a bucket, which may be due later.
    async fn next(&self, bucket: &Arc<Bucket>, key: &str, kernel: &Kernel) -> Result<Permit, Error> {
        let ahead = || lock(&bucket.ahead).pop_first();
        let permit = |due| Permit { bucket: Arc::clone(bucket), due: Some(due) };
        if let Some(due) = ahead() {
            return Ok(permit(due));
        }
        let mut taking = bucket.taking.lock().await;
        if let Some(due) = ahead() {
            return Ok(permit(due));
        }
        let now = now(kernel);
        let (first, count) = if self.is_shared {
            let has_lapsed = std::mem::take(&mut taking.has_lapsed);
            taking.block = if has_lapsed { 1 } else { (taking.block * 2).min(self.pace.block_max()) };
            let count = taking.block.max(bucket.waiting.load(Ordering::Relaxed)).max(1);
            (self.take_shared(key, now, count, kernel).await?, count)
        } else {
            (self.pace.take(&mut lock(&bucket.next), now, 1), 1)
        };
        let further = (1..count).map(|nth| first.saturating_add(self.pace.span(nth)));
        lock(&bucket.ahead).extend(further);
        if self.is_shared {
            *lock(&bucket.next) = first.saturating_add(self.pace.span(count));
        }
        Ok(permit(first))
    }

    /// Takes permits from the bucket that all processes share: when the first one is due.
    async fn take_shared(&self, key: &str, now: i64, count: usize, kernel: &Kernel) -> Result<i64, Error> {
        let Credible { from, to } = self.pace.credible(now);
        let span = self.pace.span(count);
        let mut tx = kernel.store.begin().await?;
        let rows = tx.query(sql::TAKE_PERMITS, params![&self.handler, key, from, to, span]).await?;
        let next: Option<i64> = rows.first().map(|row| row.get("next_at")).transpose()?;
        tx.commit(Vec::new()).await?;
        Ok(next.map_or(now, |next| next.saturating_sub(span)))
    }

    fn key_of(&self, event: &(dyn Any + Send + Sync)) -> String {
        let Some(key_of) = &self.key else { return String::new() };
        match key_of(event) {
            Some(key) if key.len() > KEY_BYTES_MAX || key.contains('\0') => {
                Uuid::new_v5(&LONG_KEYS, key.as_bytes()).to_string()
            }
            Some(key) => key,
            None => OTHERS.to_owned(),
        }
    }

    /// The bucket of a key. With too many of them, those are forgotten that are full and that nobody waits at.
    fn bucket(&self, key: &str, now: i64) -> Arc<Bucket> {
        let mut buckets = lock(&self.buckets);
        if let Some(bucket) = buckets.get(key) {
            return Arc::clone(bucket);
        }
        if buckets.len() >= KEYS_MAX {
            let full = self.pace.credible(now).from;
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1 || *lock(&bucket.next) > full);
        }
        let key = if buckets.len() >= KEYS_MAX { OTHERS } else { key };
        Arc::clone(buckets.entry(key.to_owned()).or_default())
    }
}

/// The store's time.
fn now(kernel: &Kernel) -> i64 {
    kernel.clock.now().as_microsecond().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_bounded_and_one_in_use_is_never_forgotten() {
        let rate =
            Rate::per_second(1).by(|event: &factstream_core::envelope::Envelope<()>| event.event_id.clone());
        let permits = Permits::new("h", &rate, rate.pace().expect("it is a rate"));
        let held = permits.bucket("held", 0);
        for n in 0..KEYS_MAX + 10 {
            let bucket = permits.bucket(&n.to_string(), 0);
            *lock(&bucket.next) = i64::MAX; // in debt
        }
        assert!(lock(&permits.buckets).len() <= KEYS_MAX + 1);
        assert!(
            Arc::ptr_eq(&permits.bucket("another", 0), &permits.bucket("and another", 0)),
            "they share one"
        );
        assert!(Arc::ptr_eq(&held, &permits.bucket("held", 0)));
        for bucket in lock(&permits.buckets).values() {
            *lock(&bucket.next) = 0;
        }
        let _ = permits.bucket("after an idle time", i64::MAX / 2);
        assert_eq!(lock(&permits.buckets).len(), 2, "the one in use and the new one");
    }
}
