//! Read your own writes: a read that waits for the position which a write has answered (G11).

use crate::problem::Problem;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, Query};
use axum::http::request::Parts;
use factstream::Position;
use serde::Deserialize;

/// The query's `?after=POSITION`: show nothing older than this position of the log, the one that a write has answered.
///
/// As `Option<After>` it may be missing; by itself, a request without one is answered with 400.
///
/// ```
/// # use axum::extract::{Path, State};
/// # use factstream::{App, ReadModel};
/// # use factstream::read_model::FoldRows;
/// use factstream_axum::{After, Problem};
/// # async fn show<R: FoldRows<Key = String>>(State(app): State<App>, Path(id): Path<String>,
/// after: Option<After>,
/// # ) -> Result<Option<R>, Problem> {
///
/// let mut read = app.read::<R>();
/// if let Some(After(position)) = after {
///     read = read.wait_for(position);
/// }
/// Ok(read.get(&id).await?)
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After(pub Position);

#[derive(Deserialize)]
struct Asked {
    after: Option<Position>,
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for After {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        match Query::<Asked>::try_from_uri(&parts.uri) {
            Ok(Query(Asked { after })) => Ok(after.map(Self)),
            Err(error) => Err(Problem::bad_request(format!(
                "{}; ?after= is the position that a write has answered, a whole number",
                error.body_text()
            ))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for After {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let after = Option::<Self>::from_request_parts(parts, state).await?;
        after.ok_or_else(|| Problem::bad_request("say ?after= with the position that a write has answered"))
    }
}
