//! The payment gateway: the outside world that the payment service asks, and a simulated one.
//!
//! Invariant of every gateway: calls with the same idempotency key have one effect, and get the same answer.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Customers whose id begins with this are declined by the [`SimulatedGateway`].
pub const DECLINED_PREFIX: &str = "declined";

/// Takes money, and gives it back.
pub trait Gateway: Send + Sync + 'static {
    /// Charges a customer for an order.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no answer: it may or may not have charged. Ask again with the same key.
    fn charge(
        &self,
        idempotency_key: &str,
        customer_id: &str,
        amount_cents: u64,
    ) -> impl Future<Output = Result<Answer, Unavailable>> + Send;

    /// Gives a payment back in full.
    ///
    /// # Errors
    /// As [`Gateway::charge`].
    fn refund(
        &self,
        idempotency_key: &str,
        payment_id: &str,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
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

/// The gateway gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the payment gateway is unavailable; it is asked again with the same key")]
pub struct Unavailable;

/// A gateway that answers within 1 to 3 ms, always the same to the same key, and fails at a set rate.
#[derive(Debug)]
pub struct SimulatedGateway {
    failure_rate: f64,
    calls: AtomicU64,
}

impl SimulatedGateway {
    /// One that fails at this rate: 0.0 never, 1.0 always.
    pub fn new(failure_rate: f64) -> Self {
        Self { failure_rate, calls: AtomicU64::new(0) }
    }

    /// The way there and back, which may be lost.
    async fn travel(&self) -> Result<(), Unavailable> {
        let chance = scatter(self.calls.fetch_add(1, Ordering::Relaxed));
        tokio::time::sleep(Duration::from_micros(1_000 + chance % 2_000)).await;
        // The upper 53 bits as a fraction from 0 to 1.
        let fraction = (chance >> 11) as f64 / (1_u64 << 53) as f64;
        if fraction < self.failure_rate { Err(Unavailable) } else { Ok(()) }
    }
}

impl Gateway for SimulatedGateway {
    async fn charge(
        &self,
        idempotency_key: &str,
        customer_id: &str,
        _amount_cents: u64,
    ) -> Result<Answer, Unavailable> {
        self.travel().await?;
        let payment_id = format!("pay-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, idempotency_key.as_bytes()));
        Ok(match customer_id.starts_with(DECLINED_PREFIX) {
            true => Answer::Declined { payment_id, reason: "the card was declined".into() },
            false => Answer::Approved { payment_id },
        })
    }

    async fn refund(&self, _idempotency_key: &str, _payment_id: &str) -> Result<(), Unavailable> {
        self.travel().await
    }
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
