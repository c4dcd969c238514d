//! All that the headers of a request say about a command, in one extractor.

use crate::context::RequestContext;
use crate::idempotency::IdempotencyKey;
use crate::if_match::IfMatch;
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use factstream::{Aggregate, Command, Execute};
use serde::Serialize;

/// The idempotency key, the expected version and the context of a request, each where the request has it.
///
/// ```
/// # use axum::extract::{Path, State};
/// # use factstream::{Aggregate, App, Command};
/// # use factstream_axum::{ETag, Problem};
/// use factstream_axum::CommandHeaders;
/// # async fn ship<A: Aggregate, C: Command<A, Error = E> + serde::Serialize + Default + 'static, E>(
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
    /// The command, to be executed as the headers say. Its key stands for its content ([`Execute::key`]).
    pub fn apply<A, C>(mut self, execute: Execute<'_, A, C>) -> Execute<'_, A, C>
    where
        A: Aggregate,
        C: Command<A> + Serialize + 'static,
    {
        let key = self.key.take();
        let execute = self.apply_but_key(execute);
        match key {
            Some(IdempotencyKey(key)) => execute.key(key),
            None => execute,
        }
    }

    /// As [`CommandHeaders::apply`]; the key stands for `content`, for example the request ([`Execute::key_for`]).
    pub fn apply_for<'a, A, C>(
        mut self,
        content: &(impl Serialize + ?Sized),
        execute: Execute<'a, A, C>,
    ) -> Execute<'a, A, C>
    where
        A: Aggregate,
        C: Command<A> + 'static,
    {
        let key = self.key.take();
        let execute = self.apply_but_key(execute);
        match key {
            Some(IdempotencyKey(key)) => execute.key_for(key, content),
            None => execute,
        }
    }

    fn apply_but_key<A, C>(self, execute: Execute<'_, A, C>) -> Execute<'_, A, C>
    where
        A: Aggregate,
        C: Command<A> + 'static,
    {
        let execute = execute.context(&self.context);
        match self.if_match {
            Some(IfMatch(expected)) => execute.expect(expected),
            None => execute,
        }
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
