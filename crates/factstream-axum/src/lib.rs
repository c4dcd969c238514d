//! factstream behind HTTP, with [axum].
//!
//! | a request says | take it with | then |
//! |---|---|---|
//! | `Idempotency-Key: 8e03..` | [`IdempotencyKey`] | the command takes effect once, however often it is sent |
//! | `If-Match: "7"` | [`IfMatch`] | nobody's change is overwritten: 412 with the current version |
//! | `traceparent`, `x-correlation-id`, `x-forwarded-user` | [`RequestContext`] | events say who asked; the answer has the same headers |
//! | all of these | [`CommandHeaders`] | |
//! | `?after=42` | [`After`] | a read shows what the client has just written |
//!
//! | an answer says | with |
//! |---|---|
//! | `ETag: "7"` | [`ETag`] |
//! | `application/problem+json` (RFC 9457) | [`Problem`], made of factstream's errors by `?` |
//! | `/livez`, `/readyz`, `/status` | [`watching`] |
//!
//! ```
//! use axum::extract::{Path, State};
//! use axum::response::IntoResponse;
//! use axum::routing::post;
//! use axum::{Json, Router, middleware};
//! use factstream::{Aggregate, App, Command, Event};
//! use factstream_axum::{CommandHeaders, ETag, Problem, carry_context, watching};
//!
//! #[derive(Event, serde::Serialize, serde::Deserialize)]
//! enum AccountEvent {
//!     Deposited { cents: u64 },
//! }
//!
//! #[derive(Default, Clone)]
//! struct Account {
//!     cents: u64,
//! }
//!
//! impl Aggregate for Account {
//!     const TYPE: &'static str = "account";
//!     type Event = AccountEvent;
//!
//!     fn apply(&mut self, AccountEvent::Deposited { cents }: &AccountEvent) {
//!         self.cents += cents;
//!     }
//! }
//!
//! #[derive(serde::Serialize, serde::Deserialize)] // Serialize: an Idempotency-Key stands for its content
//! struct Deposit {
//!     cents: u64,
//! }
//!
//! #[derive(Debug, thiserror::Error)]
//! #[error("a deposit has at least one cent")]
//! struct Nothing;
//!
//! impl From<Nothing> for Problem {
//!     fn from(error: Nothing) -> Self {
//!         Problem::unprocessable(error.to_string())
//!     }
//! }
//!
//! impl Command<Account> for Deposit {
//!     type Error = Nothing;
//!
//!     fn decide(&self, _: &Account) -> Result<Vec<AccountEvent>, Nothing> {
//!         if self.cents == 0 { Err(Nothing) } else { Ok(vec![AccountEvent::Deposited { cents: self.cents }]) }
//!     }
//! }
//!
//! async fn deposit(
//!     State(app): State<App>,
//!     Path(id): Path<String>,
//!     headers: CommandHeaders,
//!     Json(deposit): Json<Deposit>,
//! ) -> Result<impl IntoResponse, Problem> {
//!     let executed = headers.apply(app.execute(id, deposit)).await?;
//!     Ok((ETag(executed.version), Json(executed.position)))
//! }
//!
//! fn router(app: App) -> Router {
//!     Router::new()
//!         .route("/accounts/{id}/deposits", post(deposit))
//!         .route_layer(middleware::from_fn(carry_context))
//!         .merge(watching(&app))
//!         .with_state(app)
//! }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let app = App::open(format!("sqlite://{}", dir.path().join("bank.db").display())).await?;
//! # let _ = router(app);
//! # Ok(())
//! # }
//! ```

mod after;
mod command;
mod etag;
mod if_match;
pub mod context;
mod header;
mod idempotency;
mod probes;
pub mod problem;

pub use after::After;
pub use command::CommandHeaders;
pub use context::{RequestContext, carry_context};
pub use etag::ETag;
pub use idempotency::{IDEMPOTENCY_KEY, IdempotencyKey};
pub use if_match::IfMatch;
pub use probes::{probes, status, watching};
pub use problem::Problem;
