//! Who asks, in which conversation and trace: read from the headers of a request, and sent back with its answer.
//!
//! | header | what | when it is missing |
//! |---|---|---|
//! | `x-correlation-id` | the conversation | a new one begins |
//! | `traceparent` | the trace, as W3C Trace Context has it | there is no trace |
//! | `x-forwarded-user` | who asks | nobody is named |
//!
//! Invariant: nothing here proves who asks. **`x-forwarded-user` is set by the gateway that has checked the user, and the gateway
//! removes what clients send under this name.** A service that clients reach directly must not use it.

use crate::header::single;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use factstream::Context;
use factstream::context::check_traceparent;
use std::ops::Deref;
use tracing::Instrument;
use uuid::Uuid;

/// The conversation. Recorded with the events; sent back with every answer, so that a person who reports an error can name it.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// The trace: W3C Trace Context. One that is malformed begins a new trace, as the standard says, and is no reason to refuse a request.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Who asks. Set by the gateway that has checked the user, which removes what clients send under this name.
pub const USER: HeaderName = HeaderName::from_static("x-forwarded-user");

/// The [`Context`] of a request, from its headers.
///
/// With [`carry_context`] around the routes, the answer has the same headers.
///
/// ```
/// # use axum::extract::State;
/// # use factstream::{Aggregate, App, Command};
/// use factstream_axum::RequestContext;
/// # async fn place<A: Aggregate, C: Command<A> + 'static>(
/// #     State(app): State<App>, command: C,
/// context: RequestContext,
/// # ) -> Result<(), factstream::ExecuteError<C::Error>> {
///
/// app.create::<A, C>(command).context(&context).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext(pub Context);

impl Deref for RequestContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Self>() {
            Some(known) => Ok(known.clone()),
            None => read(&parts.headers),
        }
    }
}

fn read(headers: &HeaderMap) -> Result<RequestContext, Problem> {
    let mut context = Context::new();
    let correlation_id = single(headers, &CORRELATION_ID)?;
    context.correlation_id = Some(correlation_id.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned));
    context.actor = single(headers, &USER)?.map(str::to_owned);
    let trace = single(headers, &TRACEPARENT).ok().flatten();
    context.traceparent = trace.filter(|trace| check_traceparent(trace).is_ok()).map(str::to_owned);
    context.check().map_err(|error| {
        let advice = "look at the headers x-correlation-id and x-forwarded-user";
        Problem::bad_request(format!("{error}; {advice}"))
    })?;
    Ok(RequestContext(context))
}

/// Reads the [`RequestContext`] of each request once, sends it back with the answer, and names the conversation in what is logged
/// meanwhile. A request whose context cannot be recorded is answered with 400.
///
/// ```
/// use axum::{Router, middleware, routing::get};
///
/// let router: Router = Router::new()
///     .route("/orders", get(|| async { "none" }))
///     .route_layer(middleware::from_fn(factstream_axum::carry_context));
/// # let _ = router;
/// ```
pub async fn carry_context(mut request: Request, next: Next) -> Response {
    let RequestContext(context) = match read(request.headers()) {
        Ok(context) => context,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(RequestContext(context.clone()));
    let span = tracing::info_span!("request", correlation_id = context.correlation_id.as_deref());
    let mut response = next.run(request).instrument(span).await;
    let sent_back =
        [(CORRELATION_ID, context.correlation_id), (TRACEPARENT, context.traceparent), (USER, context.actor)];
    for (name, text) in sent_back {
        if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn context_of(pairs: &[(HeaderName, &str)]) -> Result<Context, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read(&headers).map(|RequestContext(context)| context)
    }

    #[test]
    fn a_broken_trace_begins_a_new_one_and_a_broken_id_is_refused() {
        let context = context_of(&[(TRACEPARENT, TRACE), (USER, "user-ä"), (CORRELATION_ID, "c-1")]).unwrap();
        assert_eq!((context.traceparent.as_deref(), context.actor.as_deref()), (Some(TRACE), Some("user-ä")));
        assert_eq!(context.correlation_id.as_deref(), Some("c-1"));
        for broken in ["", "00-0-0-0", &TRACE.to_uppercase(), &TRACE.replace("b7", "g7")] {
            let context = context_of(&[(TRACEPARENT, broken)]).unwrap();
            assert!(context.traceparent.is_none() && context.correlation_id.is_some(), "{broken}");
        }
        assert_eq!(context_of(&[(TRACEPARENT, TRACE), (TRACEPARENT, TRACE)]).unwrap().traceparent, None);
        assert_eq!(context_of(&[(USER, "")]).unwrap().actor, None, "nobody is signed in");
        for name in [CORRELATION_ID, USER] {
            let long = "x".repeat(256);
            for broken in [&[(name.clone(), long.as_str())][..], &[(name.clone(), "a\tb")]] {
                let problem = context_of(broken).unwrap_err();
                assert_eq!(problem.status().as_u16(), 400, "{problem}");
            }
            let twice = context_of(&[(name.clone(), "a"), (name.clone(), "b")]).unwrap_err();
            assert!(twice.detail().contains("more than once"), "{twice}");
        }
    }
}
