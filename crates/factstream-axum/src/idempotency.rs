//! A command takes effect once, however often it is sent (G4).

use crate::header::single;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::HeaderName;
use axum::http::request::Parts;
use factstream::envelope::check_id;

/// The header's name.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header `Idempotency-Key`: the key under which a command takes effect once, however often its request is sent. 1 to 255 bytes,
/// for example a UUID.
///
/// The key stands for its command: sent again with another content it is answered with 422
/// ([`Error::KeyReused`](factstream::Error::KeyReused)).
///
/// As `Option<IdempotencyKey>` it may be missing; by itself, a request without one is answered with 400.
///
/// ```
/// # use factstream::{Aggregate, App, Command};
/// use factstream_axum::IdempotencyKey;
/// # async fn place<A: Aggregate, C: Command<A> + serde::Serialize + 'static>(
/// #     app: &App,
/// #     command: C,
/// IdempotencyKey(key): IdempotencyKey,
/// # ) -> Result<(), factstream::ExecuteError<C::Error>> {
///
/// app.create::<A, C>(command).key(key).await?;
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
