//! What an order costs, as whoever placed it says: our own order service tells the total, other teams may tell only prices.

use factstream::Shape;
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// What is read of one line of an order, to work out what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Priced {
    /// How many.
    pub quantity: u32,
    /// The price of one, in cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cents: Option<u64>,
    /// The price of one in whole money, for example 19.99, where nobody tells cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Number>,
}

/// Nobody says what an order costs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the order says neither total_cents nor what each item costs (quantity, and price_cents or price); have its producer send one of them"
)]
pub struct NoAmount;

/// The total in cents, as it is told or worked out.
///
/// # Errors
/// [`NoAmount`] when neither can be done.
pub fn of(total_cents: Option<u64>, items: &[Priced]) -> Result<u64, NoAmount> {
    if let Some(total) = total_cents {
        return Ok(total);
    }
    if items.is_empty() {
        return Err(NoAmount);
    }
    items
        .iter()
        .try_fold(0_u64, |sum, item| {
            let line = item.cents()?.checked_mul(u64::from(item.quantity))?;
            sum.checked_add(line)
        })
        .ok_or(NoAmount)
}

impl Priced {
    fn cents(&self) -> Option<u64> {
        self.price_cents.or_else(|| cents_of(&self.price.as_ref()?.to_string()))
    }
}

/// `19.9` is 1990: by its digits, for money is not for floating point.
fn cents_of(price: &str) -> Option<u64> {
    let (whole, part) = price.split_once('.').unwrap_or((price, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) || part.len() > 2 {
        return None;
    }
    let part: u64 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn amount(order: &serde_json::Value) -> Result<u64, NoAmount> {
        let items: Vec<Priced> = serde_json::from_value(order["items"].clone()).unwrap();
        of(order["total_cents"].as_u64(), &items)
    }

    #[test]
    fn the_total_is_taken_as_told_or_worked_out_from_the_prices() {
        let told = json!({ "total_cents": 7, "items": [{ "quantity": 1, "price_cents": 9 }] });
        assert_eq!(amount(&told), Ok(7));
        let items =
            json!({ "items": [{ "quantity": 2, "price_cents": 5 }, { "quantity": 3, "price": 19.9 }] });
        assert_eq!(amount(&items), Ok(5_980));
        assert_eq!(amount(&json!({ "items": [{ "quantity": 1, "price": 3 }] })), Ok(300));
    }

    #[test]
    fn what_cannot_be_worked_out_says_what_to_send() {
        let huge = u64::MAX;
        for items in [
            json!([]),
            json!([{ "quantity": 1 }]),
            json!([{ "quantity": 1, "price": -1 }]),
            json!([{ "quantity": 1, "price": 0.005 }]),
            json!([{ "quantity": 1, "price": 1e30 }]),
            json!([{ "quantity": 2, "price_cents": huge }]),
        ] {
            assert_eq!(amount(&json!({ "items": items })), Err(NoAmount), "{items}");
        }
    }
}
