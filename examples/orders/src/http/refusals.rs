//! What it means in HTTP that an aggregate refuses a command. What factstream itself answers stands with [`Problem`].
//!
//! | status | when |
//! |---|---|
//! | 400 | what was sent cannot be read: not JSON, an unknown field, an id with a control character |
//! | 404, 405, 408, 413, 415 | as HTTP has it |
//! | 409 | the aggregate's state refuses the command |
//! | 412 | it has changed since it was read (`If-Match`) |
//! | 422 | it can be read, but not be done: no items, an idempotency key used for something else |
//! | 503 | the store is busy, its disk full, a right missing: later, with the same idempotency key; the detail says what to do |
//! | 504 | the read model has not come so far in time |

use crate::inventory::StockError;
use crate::order::OrderError;
use factstream_axum::Problem;

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let text = error.to_string();
        match error {
            OrderError::DoesNotExist => Self::not_found(text),
            OrderError::AlreadyCreated | OrderError::CannotShip(_) | OrderError::CannotCancel(_) => {
                Self::conflict(text)
            }
            OrderError::Invalid(_) => Self::bad_request(text),
            OrderError::NoItems
            | OrderError::TooManyItems(_)
            | OrderError::NoQuantity { .. }
            | OrderError::TotalTooLarge => Self::unprocessable(text),
        }
    }
}

impl From<StockError> for Problem {
    fn from(error: StockError) -> Self {
        let text = error.to_string();
        match error {
            StockError::UnknownSku { .. } => Self::not_found(text),
            StockError::TooLittle { .. } => Self::conflict(text),
            StockError::Invalid(_) => Self::bad_request(text),
            StockError::NoQuantity | StockError::TooMuch { .. } => Self::unprocessable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Status;
    use factstream::ExecuteError;

    #[test]
    fn a_refusal_keeps_its_words() {
        let problem = Problem::from(ExecuteError::Rejected(OrderError::CannotShip(Status::Shipped)));
        assert_eq!(
            (problem.status().as_u16(), problem.detail()),
            (409, "Cannot ship order in SHIPPED status")
        );
    }
}
