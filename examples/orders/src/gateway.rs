//! The payment gateway: the outside world that the payment service asks, and a simulated one.
//!
//! Invariant of every gateway: calls with the same idempotency key have one effect, and get the same answer.

use factstream::Failure;
use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

/// Customers whose id begins with this are declined by the [`SimulatedGateway`].
pub const DECLINED_PREFIX: &str = "declined";
/// A customer of this prefix and a number, `slow-3`, confirms a charge so many seconds after the event that it is for: until then the
/// [`SimulatedGateway`] asks to be asked again.
pub const SLOW_PREFIX: &str = "slow-";
/// In which calls are counted.
const SECOND: Duration = Duration::from_secs(1);

/// Takes money, and gives it back.
pub trait Gateway: Send + Sync + 'static {
    /// Charges a customer for an order.
    ///
    /// # Errors
    /// [`NoAnswer`] when it is to be asked again, with the same key.
    fn charge(
        &self,
        idempotency_key: &str,
        customer_id: &str,
        amount_cents: u64,
    ) -> impl Future<Output = Result<Answer, NoAnswer>> + Send;

    /// Gives a payment back in full.
    ///
    /// # Errors
    /// As [`Gateway::charge`].
    fn refund(
        &self,
        idempotency_key: &str,
        payment_id: &str,
    ) -> impl Future<Output = Result<(), NoAnswer>> + Send;
}

/// What a gateway says to a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The money is taken.
    Approved {
        /// The gateway's name for the payment.
        payment_id: String,
    },
    /// It is not, and will not be.
    Declined {
        /// The gateway's name for the attempt.
        payment_id: String,
        /// Why.
        reason: String,
    },
}

/// Why a gateway gives no answer yet. It is asked again with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing came back: it may or may not have done what it was asked for.
    #[error("the payment gateway is unavailable; it is asked again with the same key")]
    Unavailable,
    /// It says when to ask again, as HTTP's `Retry-After` does, and has done nothing yet.
    #[error("the payment gateway wants to be asked again after {0:?}")]
    Later(Duration),
}

impl NoAnswer {
    /// How a handler fails for it: it is tried again, no sooner than the gateway says.
    pub fn failure(self) -> Failure {
        match self {
            Self::Unavailable => Failure::transient(self),
            Self::Later(wait) => Failure::transient(self).retry_after(wait),
        }
    }
}

/// A gateway that answers within 1 to 3 ms, always the same to the same key, fails at a set rate, and may allow only so many calls a second.
#[derive(Debug)]
pub struct SimulatedGateway {
    failure_rate: f64,
    calls: AtomicU64,
    allowance: Option<Allowance>,
}

/// So many calls in any second.
#[derive(Debug)]
struct Allowance {
    per_second: usize,
    /// When the calls of the last second came, oldest first: at most as many as are allowed.
    calls: Mutex<VecDeque<Instant>>,
}

impl SimulatedGateway {
    /// One that fails at this rate: 0.0 never, 1.0 always.
    pub fn new(failure_rate: f64) -> Self {
        Self { failure_rate, calls: AtomicU64::new(0), allowance: None }
    }

    /// Allows so many calls in any second; to more it says when to ask again, as HTTP's 429 does with `Retry-After`.
    pub fn allowing(self, calls_per_second: NonZeroU32) -> Self {
        let per_second = usize::try_from(calls_per_second.get()).unwrap_or(usize::MAX);
        Self { allowance: Some(Allowance { per_second, calls: Mutex::default() }), ..self }
    }

    /// The way there and back, which may be lost.
    async fn travel(&self) -> Result<(), NoAnswer> {
        self.allowance.as_ref().map_or(Ok(()), |allowance| allowance.take(Instant::now()))?;
        let chance = scatter(self.calls.fetch_add(1, Ordering::Relaxed));
        tokio::time::sleep(Duration::from_micros(1_000 + chance % 2_000)).await;
        // The upper 53 bits as a fraction from 0 to 1.
        let fraction = (chance >> 11) as f64 / (1_u64 << 53) as f64;
        if fraction < self.failure_rate { Err(NoAnswer::Unavailable) } else { Ok(()) }
    }
}

impl Allowance {
    /// Counts a call, or says after which wait it would be one of those that are allowed.
    fn take(&self, now: Instant) -> Result<(), NoAnswer> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        while calls.front().is_some_and(|call| now.duration_since(*call) >= SECOND) {
            calls.pop_front();
        }
        match calls.front() {
            Some(oldest) if calls.len() >= self.per_second => {
                Err(NoAnswer::Later(SECOND.saturating_sub(now.duration_since(*oldest))))
            }
            _ => {
                calls.push_back(now);
                Ok(())
            }
        }
    }
}

impl Gateway for SimulatedGateway {
    async fn charge(
        &self,
        idempotency_key: &str,
        customer_id: &str,
        _amount_cents: u64,
    ) -> Result<Answer, NoAnswer> {
        self.travel().await?;
        if let Some(wait) = slowness(customer_id).and_then(|slowness| left(slowness, idempotency_key)) {
            return Err(NoAnswer::Later(wait));
        }
        let payment_id = format!("pay-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, idempotency_key.as_bytes()));
        Ok(match customer_id.starts_with(DECLINED_PREFIX) {
            true => Answer::Declined { payment_id, reason: "the card was declined".into() },
            false => Answer::Approved { payment_id },
        })
    }

    async fn refund(&self, _idempotency_key: &str, _payment_id: &str) -> Result<(), NoAnswer> {
        self.travel().await
    }
}

/// How long a customer takes to confirm a charge.
fn slowness(customer_id: &str) -> Option<Duration> {
    customer_id.strip_prefix(SLOW_PREFIX)?.parse().ok().map(Duration::from_secs)
}

/// What is left of a wait that began with the event whose id the key is: its first half is a time (UUIDv7). Nothing is remembered, so that a
/// gateway that is started anew answers alike. Where the clocks are apart nothing is left.
fn left(wait: Duration, idempotency_key: &str) -> Option<Duration> {
    let (seconds, nanos) = Uuid::parse_str(idempotency_key).ok()?.get_timestamp()?.to_unix();
    let recorded = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let since = SystemTime::now().duration_since(recorded).ok()?;
    wait.checked_sub(since).filter(|left| !left.is_zero())
}

/// Numbers in a row to numbers all over the place: SplitMix64 (Steele, Lea, Flood 2014).
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_key_gets_the_same_answer_and_another_key_another() {
        let gateway = SimulatedGateway::new(0.0);
        let first = gateway.charge("k-1", "c-1", 5).await;
        assert_eq!(first, gateway.charge("k-1", "c-1", 5).await);
        assert_ne!(first, gateway.charge("k-2", "c-1", 5).await);
        assert!(matches!(first, Ok(Answer::Approved { .. })));
        assert!(matches!(gateway.charge("k-3", "declined-1", 5).await, Ok(Answer::Declined { .. })));
    }

    #[tokio::test]
    async fn a_slow_customer_is_charged_a_while_after_the_order_was_placed() {
        let gateway = SimulatedGateway::new(0.0);
        let id_of = |second| {
            let time = uuid::Timestamp::from_unix(uuid::NoContext, second, 0);
            Uuid::new_v7(time).to_string()
        };
        let early = gateway.charge(&Uuid::now_v7().to_string(), "slow-60", 5).await;
        let minute = Duration::from_secs(60);
        assert!(matches!(early, Err(NoAnswer::Later(wait)) if wait <= minute), "{early:?}");
        let long_ago_or_ahead = [1_000_000_000, 100_000_000_000];
        for key in long_ago_or_ahead.map(id_of).into_iter().chain(["a foreign id".to_owned()]) {
            assert!(matches!(gateway.charge(&key, "slow-60", 5).await, Ok(Answer::Approved { .. })), "{key}");
        }
    }

    #[test]
    fn no_second_has_more_calls_than_are_allowed_and_a_refusal_says_when_the_next_one_is() {
        let allowance = Allowance { per_second: 2, calls: Mutex::default() };
        let begun = Instant::now();
        let at = |millis| allowance.take(begun + Duration::from_millis(millis));
        let later = |millis| Err(NoAnswer::Later(Duration::from_millis(millis)));
        assert_eq!([at(0), at(300), at(300), at(999)], [Ok(()), Ok(()), later(700), later(1)]);
        assert_eq!([at(1_000), at(1_000), at(1_300)], [Ok(()), later(300), Ok(())]);
    }

    #[tokio::test]
    async fn it_fails_at_about_the_set_rate() {
        for (rate, allowed) in [(0.0, 0..=0), (0.3, 30..=90), (1.0, 200..=200)] {
            let gateway = SimulatedGateway::new(rate);
            let calls = (0..200).map(|_| gateway.refund("k", "p"));
            let failed =
                futures_util::future::join_all(calls).await.iter().filter(|call| call.is_err()).count();
            assert!(allowed.contains(&failed), "{failed} of 200 failed at rate {rate}");
        }
    }
}
