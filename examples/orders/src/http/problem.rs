//! Answers that are not a success: problem documents (RFC 9457) whose `detail` says what to do.
//!
//! | status | when |
//! |---|---|
//! | 400 | what was sent cannot be read: not JSON, an unknown field, an id with a control character |
//! | 404, 405, 408, 413, 415 | as HTTP has it |
//! | 409 | the aggregate's state refuses the command |
//! | 422 | it can be read, but not be done: no items, an idempotency key used for something else |
//! | 503 | the store is busy, its disk full, a right missing: later, with the same idempotency key; the detail says what to do |
//! | 504 | the read model has not come so far in time |

use crate::inventory::StockError;
use crate::order::OrderError;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use factstream::store::StoreError;
use factstream::{Error, ExecuteError};
use serde::Serialize;

/// When to try again, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The most of a detail that is sent: it may quote what came in.
const DETAIL_BYTES_MAX: usize = 2_048;

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

macro_rules! problems {
    ($($name:ident => $status:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        pub fn $name(detail: impl Into<String>) -> Self {
            Self { status: StatusCode::$status, detail: shortened(detail.into()) }
        }
    )*};
}

impl Problem {
    problems! {
        malformed => BAD_REQUEST, "400: it cannot be read.";
        not_found => NOT_FOUND, "404: it is not there.";
        method_not_allowed => METHOD_NOT_ALLOWED, "405: the path does not know the method.";
        too_slow => REQUEST_TIMEOUT, "408: the body did not come in time.";
        conflict => CONFLICT, "409: the state of the order refuses it.";
        too_large => PAYLOAD_TOO_LARGE, "413: the body is too large.";
        not_json => UNSUPPORTED_MEDIA_TYPE, "415: the body is not said to be JSON.";
        changed => PRECONDITION_FAILED, "412: it has changed since it was read.";
        unprocessable => UNPROCESSABLE_ENTITY, "422: it can be read, but not be done.";
        internal => INTERNAL_SERVER_ERROR, "500: the fault is on this side.";
        unavailable => SERVICE_UNAVAILABLE, "503: later.";
        behind => GATEWAY_TIMEOUT, "504: the read model is behind.";
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

fn shortened(detail: String) -> String {
    match detail.floor_char_boundary(DETAIL_BYTES_MAX) {
        end if end < detail.len() => format!("{} ..", &detail[..end]),
        _ => detail,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let json = serde_json::to_string(&document).expect("a struct of strings and a number is JSON");
        let mut response = (self.status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::InvalidId(_) | Error::Cursor => Self::malformed(text),
            Error::KeyReused { .. } => Self::unprocessable(text),
            Error::WaitTimedOut { .. } => Self::behind(text),
            Error::Conflict(_) => Self::conflict(text),
            Error::VersionMismatch { .. } => Self::changed(text),
            Error::StreamBusy { .. } => Self::unavailable(text),
            Error::Store(store) if store.is_transient() || store.is_infrastructure() => {
                Self::of_transient(&store)
            }
            error => {
                tracing::error!(%error, "a request failed");
                Self::internal(format!(
                    "{text}; the request may be sent again, but look into the service's log first"
                ))
            }
        }
    }
}

impl Problem {
    fn of_transient(error: &StoreError) -> Self {
        tracing::debug!(%error, "a request was turned away");
        Self::unavailable(format!("{error} (a command is safe to send again with the same Idempotency-Key)"))
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let text = error.to_string();
        match error {
            OrderError::DoesNotExist => Self::not_found(text),
            OrderError::AlreadyCreated | OrderError::CannotShip(_) | OrderError::CannotCancel(_) => {
                Self::conflict(text)
            }
            OrderError::Invalid(_) => Self::malformed(text),
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
            StockError::Invalid(_) => Self::malformed(text),
            StockError::NoQuantity | StockError::TooMuch { .. } => Self::unprocessable(text),
        }
    }
}

impl<E: std::error::Error + Into<Self>> From<ExecuteError<E>> for Problem {
    fn from(error: ExecuteError<E>) -> Self {
        match error {
            ExecuteError::Rejected(refusal) => refusal.into(),
            ExecuteError::Failed(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Status;

    #[test]
    fn a_refusal_keeps_its_words() {
        let problem = Problem::from(ExecuteError::Rejected(OrderError::CannotShip(Status::Shipped)));
        assert_eq!(
            (problem.status(), problem.detail()),
            (StatusCode::CONFLICT, "Cannot ship order in SHIPPED status")
        );
    }

    #[test]
    fn a_problem_quotes_no_more_than_is_useful() {
        let problem = Problem::malformed("ä".repeat(1_000_000));
        assert!(problem.detail().len() < DETAIL_BYTES_MAX + 10 && problem.detail().ends_with(" .."));
    }

    #[test]
    fn a_busy_or_full_store_asks_to_come_back_later() {
        for error in [StoreError::Busy("locked".into()), StoreError::Disk("full".into())] {
            let response = Problem::from(Error::from(error)).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "1");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }
}
