//! All that the headers of a request say about a command, in one extractor.

use crate::context::RequestContext;
use crate::idempotency::IdempotencyKey;
use crate::if_match::IfMatch;
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use factstream::{Aggregate, Command, Execute};

/// The idempotency key, the expected version and the context of a request, each where the request has it.
///
/// ```
/// # use axum::extract::{Path, State};
/// # use factstream::{Aggregate, App, Command};
/// # use factstream_axum::{ETag, Problem};
/// use factstream_axum::CommandHeaders;
/// # async fn ship<A: Aggregate, C: Command<A, Error = E> + Default + 'static, E>(
/// #     State(app): State<App>,
/// #     Path(id): Path<String>,
/// headers: CommandHeaders,
/// # ) -> Result<ETag, Problem> where E: std::error::Error + Into<Problem> + Send + 'static {
///
/// let executed = headers.apply(app.execute::<A, C>(id, C::default())).await?;
/// Ok(ETag(executed.version))
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandHeaders {
    /// `Idempotency-Key`.
    pub key: Option<IdempotencyKey>,
    /// `If-Match`.
    pub if_match: Option<IfMatch>,
    /// Who asks, in which conversation and trace.
    pub context: RequestContext,
}

impl CommandHeaders {
    /// The command, to be executed as the headers say. Give it a [`fingerprint`](crate::fingerprint) of the request, too, so that a key
    /// which is used again for something else is refused.
    pub fn apply<A, C>(self, execute: Execute<'_, A, C>) -> Execute<'_, A, C>
    where
        A: Aggregate,
        C: Command<A> + 'static,
    {
        let mut execute = execute.context(&self.context);
        if let Some(IdempotencyKey(key)) = self.key {
            execute = execute.key(key);
        }
        if let Some(IfMatch(expected)) = self.if_match {
            execute = execute.expect(expected);
        }
        execute
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CommandHeaders {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self {
            key: Option::from_request_parts(parts, state).await?,
            if_match: Option::from_request_parts(parts, state).await?,
            context: RequestContext::from_request_parts(parts, state).await?,
        })
    }
}
