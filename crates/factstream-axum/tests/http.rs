//! Through a real socket, on a real SQLite file: what requests say, and what answers say back.
#![allow(missing_docs, clippy::unwrap_used)]

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use factstream::envelope::Envelope;
use factstream::{Aggregate, App, Command, Event, Fold, ReadModel, Running};
use factstream_axum::{
    After, CommandHeaders, ETag, IdempotencyKey, IfMatch, Problem, RequestContext, carry_context, probes,
    status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

#[derive(Event, Serialize, Deserialize)]
enum AccountEvent {
    Deposited { cents: u64 },
}

#[derive(Default, Clone)]
struct Account {
    cents: u64,
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Event = AccountEvent;

    fn apply(&mut self, AccountEvent::Deposited { cents }: &AccountEvent) {
        self.cents += cents;
    }
}

#[derive(Serialize, Deserialize)]
struct Deposit {
    cents: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("a deposit has at least one cent")]
struct Nothing;

impl From<Nothing> for Problem {
    fn from(error: Nothing) -> Self {
        Problem::unprocessable(error.to_string()).with("least", 1)
    }
}

impl Command<Account> for Deposit {
    type Error = Nothing;

    fn decide(&self, _: &Account) -> Result<Vec<AccountEvent>, Nothing> {
        if self.cents == 0 { Err(Nothing) } else { Ok(vec![AccountEvent::Deposited { cents: self.cents }]) }
    }
}

#[derive(ReadModel, Clone, Serialize)]
#[read_model(table = "balances")]
struct Balance {
    #[column(key)]
    account: String,
    cents: u64,
    version: u64,
}

impl Fold for Balance {
    type Events = AccountEvent;

    fn fold(row: Option<Self>, event: &Envelope<AccountEvent>) -> Option<Self> {
        let AccountEvent::Deposited { cents } = event.event;
        let before = row.map_or(0, |row| row.cents);
        let (account, version) = (event.aggregate_id.clone(), event.version.unwrap_or_default());
        Some(Self { account, cents: before + cents, version })
    }
}

async fn deposit(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: CommandHeaders,
    Json(deposit): Json<Deposit>,
) -> Result<impl IntoResponse, Problem> {
    let executed = headers.apply(app.execute(id, deposit)).await?;
    Ok((ETag(executed.version), Json(json!({ "position": executed.position, "version": executed.version }))))
}

/// What must have its headers.
async fn strict(_: IdempotencyKey, _: IfMatch, _: After, context: RequestContext) -> String {
    context.correlation_id.clone().unwrap_or_default()
}

async fn balance(
    State(app): State<App>,
    Path(id): Path<String>,
    after: Option<After>,
) -> Result<impl IntoResponse, Problem> {
    let mut read = app.read::<Balance>().deadline(Duration::from_secs(5));
    if let Some(After(position)) = after {
        read = read.wait_for(position);
    }
    let row =
        read.get(&id).await?.ok_or_else(|| Problem::not_found(format!("there is no account {id:?}")))?;
    Ok((ETag(row.version), Json(row)))
}

struct Server {
    app: App,
    url: String,
    leaving: Arc<AtomicBool>,
    _running: Running,
    _dir: TempDir,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = format!("sqlite://{}", dir.path().join("bank.db").display());
        let app = App::builder(store).aggregate::<Account>().read_model::<Balance>().open().await.unwrap();
        let running = app.start().await.unwrap();
        let leaving = Arc::new(AtomicBool::new(false));
        let is_leaving = Arc::clone(&leaving);
        let router = Router::new()
            .route("/accounts/{id}", get(balance))
            .route("/accounts/{id}/deposits", post(deposit))
            .route("/strict", get(strict))
            .route_layer(middleware::from_fn(carry_context))
            .merge(probes(&app, move || !is_leaving.load(Ordering::Relaxed)))
            .merge(status(&app))
            .with_state(app.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { app, url, leaving, _running: running, _dir: dir }
    }

    async fn send(
        &self,
        path: &str,
        body: Option<Value>,
        headers: &[(&'static str, &'static str)],
    ) -> Answer {
        let (url, headers) = (format!("{}{path}", self.url), headers.to_vec());
        tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false).build();
            let agent = ureq::Agent::new_with_config(config);
            let mut response = if let Some(body) = body {
                let post =
                    headers.iter().fold(agent.post(&url), |post, (name, value)| post.header(*name, *value));
                post.send_json(&body).unwrap()
            } else {
                let get =
                    headers.iter().fold(agent.get(&url), |get, (name, value)| get.header(*name, *value));
                get.call().unwrap()
            };
            let named =
                |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let [etag, correlation_id, trace, user, content_type, retry_after] = [
                "etag",
                "x-correlation-id",
                "traceparent",
                "x-forwarded-user",
                "content-type",
                "retry-after",
            ]
            .map(named);
            let text = response.body_mut().read_to_string().unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Answer {
                status: response.status().as_u16(),
                etag,
                correlation_id,
                trace,
                user,
                content_type,
                retry_after,
                body,
            }
        })
        .await
        .unwrap()
    }

    async fn deposit(&self, cents: u64, headers: &[(&'static str, &'static str)]) -> Answer {
        self.send("/accounts/a/deposits", Some(json!({ "cents": cents })), headers).await
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    etag: Option<String>,
    correlation_id: Option<String>,
    trace: Option<String>,
    user: Option<String>,
    content_type: Option<String>,
    retry_after: Option<String>,
    body: Value,
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_request_says_who_asks_and_the_events_and_the_answer_say_so_too() {
    let server = Server::start().await;
    let asked = [("x-correlation-id", "c-1"), ("traceparent", TRACE), ("x-forwarded-user", "user-7")];
    for answer in [server.deposit(5, &asked).await, server.send("/accounts/none", None, &asked).await] {
        assert_eq!(answer.correlation_id.as_deref(), Some("c-1"), "{answer:?}");
        assert_eq!((answer.trace.as_deref(), answer.user.as_deref()), (Some(TRACE), Some("user-7")));
    }
    let event = server.app.read_log(0, 1).await.unwrap()[0].envelope().unwrap();
    assert_eq!((event.correlation_id.as_deref(), event.actor.as_deref()), (Some("c-1"), Some("user-7")));
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));

    let answer = server.deposit(5, &[("traceparent", "garbage")]).await;
    let event = server.app.read_log(1, 1).await.unwrap()[0].envelope().unwrap();
    assert!(answer.correlation_id.is_some() && answer.correlation_id == event.correlation_id, "{answer:?}");
    assert_eq!((answer.trace, answer.user, event.actor), (None, None, None));
    let twice = [("x-forwarded-user", "user-7"), ("x-forwarded-user", "root")];
    let refused = server.deposit(5, &twice).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(server.app.head().await.unwrap(), 2);
}

#[tokio::test]
async fn a_key_takes_effect_once_and_a_version_that_was_not_seen_is_not_changed() {
    let server = Server::start().await;
    let key = [("idempotency-key", "k-1")];
    let (first, again) = (server.deposit(5, &key).await, server.deposit(5, &key).await);
    assert_eq!((first.status, first.etag.as_deref(), &first.body), (200, Some("\"1\""), &again.body));
    let another = server.deposit(6, &key).await;
    assert_eq!(another.status, 422, "the key stands for something else");
    let why = "the key \"k-1\" was used before for account/Deposit of account/a, with another content";
    assert!(another.body["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{another:?}");
    let read = server.send("/accounts/a?after=1", None, &[]).await;
    assert_eq!((read.etag.as_deref(), read.body["cents"].as_u64()), (Some("\"1\""), Some(5)));

    assert_eq!(server.deposit(1, &[("if-match", "\"1\"")]).await.etag.as_deref(), Some("\"2\""));
    for stale in ["\"1\"", "W/\"2\"", "\"other\", \"1\""] {
        let refused = server.deposit(1, &[("if-match", stale)]).await;
        assert_eq!((refused.status, refused.etag.as_deref()), (412, Some("\"2\"")), "{refused:?}");
        assert_eq!(refused.body["current_version"], 2);
        assert_eq!(refused.content_type.as_deref(), Some("application/problem+json"));
    }
    for (matching, version) in [("\"1\", \"2\"", "\"3\""), ("*", "\"4\"")] {
        assert_eq!(server.deposit(1, &[("if-match", matching)]).await.etag.as_deref(), Some(version));
    }
    // Two lines are one list. A repeat is answered with its first outcome, although the version has moved on.
    let lines = [("if-match", "\"1\""), ("if-match", "\"4\""), ("idempotency-key", "k-2")];
    for _ in 0..2 {
        assert_eq!(server.deposit(1, &lines).await.etag.as_deref(), Some("\"5\""));
    }
    assert_eq!(server.deposit(1, &[("if-match", "5")]).await.status, 400);
    let missing =
        server.send("/accounts/none/deposits", Some(json!({ "cents": 1 })), &[("if-match", "*")]).await;
    assert_eq!((missing.status, missing.etag, &missing.body["current_version"]), (412, None, &json!(0)));
    assert_eq!(server.app.head().await.unwrap(), 5);
}

#[tokio::test]
async fn what_a_route_must_have_is_asked_for_and_refusals_are_problems() {
    let server = Server::start().await;
    let (key, matching) = (("idempotency-key", "k"), ("if-match", "*"));
    for (path, headers, status) in [
        ("/strict?after=1", &[][..], 400),
        ("/strict?after=1", &[key], 428),
        ("/strict", &[key, matching], 400),
        ("/strict?after=soon", &[key, matching], 400),
        ("/strict?after=1", &[key, matching, ("x-correlation-id", "c-1")], 200),
        ("/accounts/none", &[], 404),
    ] {
        let answer = server.send(path, None, headers).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status == 200 {
            assert_eq!(answer.body, "c-1");
        } else {
            assert_eq!(answer.body["status"], status, "{answer:?}");
        }
    }
    let refused = server.deposit(0, &[]).await;
    assert_eq!((refused.status, &refused.body["least"]), (422, &json!(1)));
    assert_eq!(refused.body["detail"], "a deposit has at least one cent");
}

#[tokio::test]
async fn a_process_is_live_ready_until_it_leaves_and_shows_its_state() {
    let server = Server::start().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.send(path, None, &[]).await.status, 200, "{path}");
    }
    let status = server.send("/status", None, &[]).await;
    assert_eq!(status.body["handlers"][0]["name"], "balances", "{status:?}");
    server.leaving.store(true, Ordering::Relaxed);
    let leaving = server.send("/readyz", None, &[]).await;
    assert_eq!((leaving.status, leaving.retry_after.as_deref()), (503, Some("1")));
    assert_eq!(server.send("/livez", None, &[]).await.status, 200);
}
