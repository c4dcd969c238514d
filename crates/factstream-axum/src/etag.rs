//! The version of what an answer shows, as its entity tag (RFC 9110, 8.8.3).

use axum::http::HeaderValue;
use axum::http::header::ETAG;
use axum::response::{IntoResponseParts, ResponseParts};
use factstream::Version;
use std::convert::Infallible;

/// The header `ETag` of an answer: the version of the aggregate that it shows, for example `"7"`.
///
/// The version has to be that of the content: a read model that keeps [`Envelope::version`](factstream::Envelope) in a column has it.
///
/// ```
/// use axum::Json;
/// use axum::response::{IntoResponse, Response};
/// use factstream_axum::ETag;
///
/// fn show(version: u64, status: &str) -> Response {
///     (ETag(version), Json(status)).into_response()
/// }
///
/// assert_eq!(show(7, "OPEN").headers()["etag"], "\"7\"");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag(pub Version);

pub(crate) fn tag(version: Version) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header's value")
}

impl IntoResponseParts for ETag {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        parts.headers_mut().insert(ETAG, tag(self.0));
        Ok(parts)
    }
}
