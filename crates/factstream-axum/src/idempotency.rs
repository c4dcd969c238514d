//! A command takes effect once, however often it is sent (G4).

use crate::header::single;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderName;
use axum::http::request::Parts;
use factstream::envelope::check_id;
use serde::Serialize;
use uuid::Uuid;

/// The header's name.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header `Idempotency-Key`: the key under which a command takes effect once, however often its request is sent. 1 to 255 bytes,
/// for example a UUID.
///
/// As `Option<IdempotencyKey>` it may be missing; by itself, a request without one is answered with 400.
///
/// ```
/// # use factstream::{Aggregate, App, Command};
/// use factstream_axum::{IdempotencyKey, fingerprint};
/// # async fn place<A: Aggregate, C: Command<A> + serde::Serialize + 'static>(
/// #     app: &App,
/// #     command: C,
/// IdempotencyKey(key): IdempotencyKey,
/// # ) -> Result<(), factstream::ExecuteError<C::Error>> {
///
/// let content = fingerprint(&command);
/// app.create::<A, C>(command).key(key).fingerprint(content).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        if !parts.headers.contains_key(IDEMPOTENCY_KEY) {
            return Ok(None);
        }
        // One that is empty was meant to be a key.
        let key = single(&parts.headers, &IDEMPOTENCY_KEY)?.unwrap_or_default();
        if !key.is_ascii() {
            let detail = "the Idempotency-Key must be visible ASCII, for example a UUID";
            return Err(Problem::bad_request(detail));
        }
        check_id("Idempotency-Key", key).map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(Some(Self(key.to_owned())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let key = Option::<Self>::from_request_parts(parts, state).await?;
        key.ok_or_else(|| {
            Problem::bad_request("send the header Idempotency-Key, for example a UUID, so that the request can be repeated safely")
        })
    }
}

/// What a key stands for: a digest of the request's content, so that a key which is used again for something else is refused. Spaces
/// and the order of JSON fields do not count, for it is made of what was read.
///
/// ```
/// use factstream_axum::fingerprint;
///
/// assert_eq!(fingerprint(&("order-7", 3)), fingerprint(&("order-7", 3)));
/// assert_ne!(fingerprint(&("order-7", 3)), fingerprint(&("order-7", 4)));
/// ```
///
/// # Panics
/// When the content cannot be written as JSON. What was read from JSON can.
pub fn fingerprint(content: &impl Serialize) -> String {
    let canonical = serde_json::to_vec(content).expect("what was read from JSON can be written as JSON");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &canonical).to_string()
}
