//! Answers that are no success: problem documents as RFC 9457 has them, whose `detail` says what happened and what to do.
//!
//! Invariant: what goes wrong on this side is not described to the client: the reason is logged, and the answer says what can be done.
//! So no value of an event gets into an answer, whatever an error quotes.

use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use factstream::store::StoreError;
use factstream::{Error, ExecuteError, Failure, Version};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// When to try again, in seconds, unless said otherwise.
const RETRY_AFTER_SECONDS: u32 = 1;
/// The most of a detail that is sent: it may quote what came in.
const DETAIL_BYTES_MAX: usize = 2_048;

/// A problem document (RFC 9457): the answer to a request that did not succeed.
///
/// factstream's errors become problems with `?`:
///
/// | error | status |
/// |---|---|
/// | [`Error::InvalidId`], [`Error::InvalidContext`], [`Error::Cursor`] | 400 |
/// | [`Error::Conflict`] | 409 |
/// | [`Error::VersionMismatch`] | 412, with `current_version` and `ETag` |
/// | [`Error::KeyReused`], an event that no store takes | 422 |
/// | [`Error::StreamBusy`]; a store that is busy, full or unreachable | 503 with `Retry-After` |
/// | the deadline of a read that waits for a position | 504 |
/// | anything else | 500; the log has the reason |
///
/// What an aggregate refuses is your own error. Say once what it means in HTTP:
///
/// ```
/// use axum::http::StatusCode;
/// use factstream::ExecuteError;
/// use factstream_axum::Problem;
///
/// #[derive(Debug, thiserror::Error)]
/// enum OrderError {
///     #[error("there is no such order")]
///     Missing,
///     #[error("the order is shipped already")]
///     Shipped,
/// }
///
/// impl From<OrderError> for Problem {
///     fn from(error: OrderError) -> Self {
///         match error {
///             OrderError::Missing => Problem::not_found(error.to_string()),
///             OrderError::Shipped => Problem::conflict(error.to_string()),
///         }
///     }
/// }
///
/// let problem = Problem::from(ExecuteError::Rejected(OrderError::Shipped));
/// assert_eq!(problem.status(), StatusCode::CONFLICT);
/// assert_eq!(problem.detail(), "the order is shipped already");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Problem(Box<Content>);

#[derive(Debug, Clone, PartialEq)]
struct Content {
    status: StatusCode,
    kind: Cow<'static, str>,
    title: Option<Cow<'static, str>>,
    detail: String,
    members: Map<String, Value>,
    retry_after_seconds: Option<u32>,
    current: Option<Version>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of this status. The detail says what happened, and what to do; of a very long one the beginning is sent.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let retry_after_seconds = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS);
        Self(Box::new(Content {
            status,
            kind: "about:blank".into(),
            title: None,
            detail: shortened(detail.into()),
            members: Map::new(),
            retry_after_seconds,
            current: None,
        }))
    }

    /// 400: what was sent cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: it is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: the state of things refuses it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 422: it can be read, but not be done.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 500: the fault is on this side. The error is logged; the answer does not quote it.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = Failure::permanent(error).chain().join(": "); // without the content that it quotes
        tracing::error!(error, "a request failed");
        let detail = "the service failed, and its log says why; a command is safe to send again with the same Idempotency-Key";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 503: later, with the header `Retry-After`.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// The URI of a type of problems that you have described, and its title, in place of `about:blank` and the status's own words.
    ///
    /// ```
    /// # use factstream_axum::Problem;
    /// let problem = Problem::conflict("30 of 50 are there")
    ///     .of_type("https://shop.example/problems/out-of-stock", "Out of stock")
    ///     .with("available", 30);
    /// # let _ = problem;
    /// ```
    pub fn of_type(mut self, uri: impl Into<Cow<'static, str>>, title: impl Into<Cow<'static, str>>) -> Self {
        (self.0.kind, self.0.title) = (uri.into(), Some(title.into()));
        self
    }

    /// Something more for programs to read: a member of the document's own. The names that RFC 9457 defines cannot be replaced.
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        let member = member.into();
        if !["type", "title", "status", "detail", "instance"].contains(&member.as_str()) {
            self.0.members.insert(member, value.into());
        }
        self
    }

    /// When to try again: the header `Retry-After`. A 503 says one second unless you say otherwise.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What happened and what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// 412: it has changed since it was read, and is at `current` now; 0 when it is not there.
    fn changed(detail: String, current: Version) -> Self {
        let mut problem = Self::new(StatusCode::PRECONDITION_FAILED, detail).with("current_version", current);
        problem.0.current = (current > 0).then_some(current);
        problem
    }

    fn of_store(error: &StoreError) -> Self {
        tracing::debug!(%error, "a request was turned away");
        Self::unavailable(format!("{error} (a command is safe to send again with the same Idempotency-Key)"))
    }
}

fn shortened(detail: String) -> String {
    match detail.floor_char_boundary(DETAIL_BYTES_MAX) {
        end if end < detail.len() => format!("{} ..", &detail[..end]),
        _ => detail,
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.status, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Content { status, kind, title, detail, members, retry_after_seconds, current } = *self.0;
        let document = Document {
            r#type: &kind,
            title: title.as_deref().or_else(|| status.canonical_reason()).unwrap_or("Error"),
            status: status.as_u16(),
            detail: &detail,
            members: &members,
        };
        let json = serde_json::to_string(&document).expect("texts, a number and JSON values are JSON");
        let mut response = (status, json).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(version) = current {
            headers.insert(ETAG, crate::etag::tag(version));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::InvalidId(_) | Error::InvalidContext(_) | Error::Cursor => Self::bad_request(text),
            Error::KeyReused { .. } | Error::Store(StoreError::Unrecordable { .. }) => {
                Self::unprocessable(text)
            }
            Error::WaitTimedOut { .. } => Self::new(StatusCode::GATEWAY_TIMEOUT, text),
            Error::Conflict(_) => Self::conflict(text),
            Error::VersionMismatch { actual, .. } => Self::changed(text, actual),
            Error::StreamBusy { .. } => Self::unavailable(text),
            Error::Store(store) if store.is_transient() || store.is_infrastructure() => {
                Self::of_store(&store)
            }
            error => Self::internal(error),
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

    #[test]
    fn a_problem_quotes_no_more_than_is_useful() {
        let problem = Problem::bad_request("ä".repeat(1_000_000));
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

    #[test]
    fn what_goes_wrong_on_this_side_is_not_quoted() {
        let quoting = serde_json::from_str::<u32>("\"Jane Doe\"").unwrap_err();
        for error in [
            Error::Encode { what: "Jane Doe".into(), source: quoting },
            Error::Wiring("Jane Doe".into()),
            Error::Store(StoreError::statement("duplicate key (Jane Doe)", "INSERT ..")),
        ] {
            assert!(error.to_string().contains("Jane Doe"));
            let problem = Problem::from(error);
            assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!problem.detail().contains("Jane"), "{problem:?}");
        }
    }

    #[test]
    fn a_members_name_is_not_one_of_the_standard() {
        let problem = Problem::conflict("no").with("status", 200).with("available", 3);
        let members: Vec<_> = problem.0.members.keys().collect();
        assert_eq!(members, ["available"]);
    }
}
