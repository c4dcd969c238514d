//! What a request brings: its JSON body, its path and its query, each read with a clear refusal.
//!
//! Invariants: a body that is too large is never kept in memory, yet read to its end (within bounds), so that the client
//! gets the answer and not a broken connection. All bodies together have a limit (G13): a large one waits its turn, small
//! ones go past it. JSON nested too deeply is refused by serde_json's recursion limit.

use super::strict::Object;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, Path, Query, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use factstream::envelope::check_id;
use factstream_axum::Problem;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The largest body that is accepted: an order of 100 items needs less than a tenth.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// A body up to here is read at once: an order of a hundred items, mostly.
const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;
/// Larger ones that are kept in memory at the same time.
const LARGE_BODIES_MAX: usize = 16;
static LARGE_BODIES: Semaphore = Semaphore::const_new(LARGE_BODIES_MAX);
/// A larger body is read to its end, and thrown away, up to here.
const DRAINED_BYTES_MAX: usize = 64 * BODY_BYTES_MAX;
/// How long a body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A request's JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_content_type(&parts.headers)?;
        check_announced_length(&parts.headers)?;
        let bytes = tokio::time::timeout(BODY_TIME_MAX, read(body)).await;
        let bytes = bytes.map_err(|_| too_slow())??;
        parse(&bytes.kept).map(Self)
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("(unreadable)"));
    let media_type = given.unwrap_or("").split(';').next().unwrap_or("").trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = given.map_or_else(|| "there is none".to_owned(), |given| format!("it is {given:?}"));
    let detail = format!("the Content-Type must be application/json, {found}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// A client that asks before it sends is told at once.
fn check_announced_length(headers: &HeaderMap) -> Result<(), Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match announced {
        Some(bytes)
            if bytes > BODY_BYTES_MAX && (headers.contains_key(EXPECT) || bytes > DRAINED_BYTES_MAX) =>
        {
            Err(too_large())
        }
        _ => Ok(()),
    }
}

fn too_large() -> Problem {
    let detail = format!("a body has at most {BODY_BYTES_MAX} bytes; split the request");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn too_slow() -> Problem {
    let detail = format!("the body did not come within {BODY_TIME_MAX:?}");
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

/// A body, and its place among the large ones.
#[derive(Debug, Default)]
struct Bytes {
    kept: Vec<u8>,
    turn: Option<SemaphorePermit<'static>>,
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let (mut bytes, mut seen) = (Bytes::default(), 0_usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Problem::bad_request(format!("the body could not be read: {error}")))?;
        seen += chunk.len();
        if seen > DRAINED_BYTES_MAX {
            break;
        }
        if seen > BODY_BYTES_MAX {
            bytes = Bytes::default();
            continue;
        }
        if seen > SMALL_BODY_BYTES_MAX && bytes.turn.is_none() {
            bytes.turn = LARGE_BODIES.acquire().await.ok(); // nobody closes it
        }
        bytes.kept.extend_from_slice(&chunk);
    }
    if seen > BODY_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::bad_request(format!(
            "the body is not UTF-8: byte {} does not belong to it",
            error.valid_up_to() + 1
        ))
    })?;
    if text.trim().is_empty() {
        return Err(Problem::bad_request("the body is empty; send a JSON object"));
    }
    let read = serde_json::from_str(text).map(|Object(content)| content);
    read.map_err(|error| Problem::bad_request(format!("the body cannot be used: {error}")))
}

/// What stands in the path, as an id: it has no control characters and is not too long.
pub(super) fn path_id(
    what: &'static str,
    path: Result<Path<String>, PathRejection>,
) -> Result<String, Problem> {
    let Path(id) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    checked_id(what, &id)?;
    Ok(id)
}

/// Refuses what cannot be an id, by the name that the client knows it by.
pub(super) fn checked_id(what: &'static str, id: &str) -> Result<(), Problem> {
    check_id(what, id).map_err(|error| Problem::bad_request(error.to_string()))
}

/// What stands in the query.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|error| Problem::bad_request(error.body_text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::strict::whole_number;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        list: Vec<Object<Number>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Number {
        #[serde(deserialize_with = "whole_number")]
        n: u32,
    }

    fn refusal(bytes: &[u8]) -> String {
        let problem = parse::<Sample>(bytes).unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        problem.detail().to_owned()
    }

    #[test]
    fn a_body_is_one_json_object_with_known_fields() {
        let read = parse::<Sample>(br#" {"list":[{"n":1}]} "#).unwrap();
        assert_eq!(read, Sample { list: vec![Object(Number { n: 1 })] });
        assert!(refusal(b" ").contains("empty"));
        for not_objects in [&b"[[1]]"[..], b"null", br#"{"list":[[1]]}"#] {
            assert!(refusal(not_objects).contains("expected a JSON object"));
        }
        assert!(refusal(br#"{"list":[],"lost":2}"#).contains("unknown field `lost`"));
        assert!(refusal(br#"{"list":[]} {}"#).contains("trailing"));
        assert!(refusal(b"{\"list\":\"\xff\"}").contains("byte 10"));
    }

    #[test]
    fn a_number_that_is_negative_broken_or_too_large_is_refused_with_its_bounds() {
        for number in ["-1", "0.5", "4294967296", "18446744073709551616", "1e99"] {
            let refusal = refusal(format!("{{\"list\":[{{\"n\":{number}}}]}}").as_bytes());
            assert!(refusal.contains("is not a whole number from 0 to 4294967295"), "{refusal}");
        }
    }

    #[test]
    fn deep_json_is_refused_and_not_followed() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{{\"list\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            refusal(deep.as_bytes());
            let unknown = format!("{{\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            refusal(unknown.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_body_is_kept_up_to_the_limit_and_no_further() {
        assert_eq!(read(Body::from(vec![b'x'; BODY_BYTES_MAX])).await.unwrap().kept.len(), BODY_BYTES_MAX);
        let problem = read(Body::from(vec![b'x'; BODY_BYTES_MAX + 1])).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn only_json_is_taken_for_json() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            check_content_type(&headers)
        };
        assert!(with("application/json").is_ok() && with("Application/JSON; charset=utf-8").is_ok());
        for wrong in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded", ""] {
            assert_eq!(with(wrong).unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{wrong}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
