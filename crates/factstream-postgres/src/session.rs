//! A connection that is fit for use: what it needs is set after connecting, read back, and refused when it is not in force.
//!
//! A pooler between here and the server may drop settings that a connection begins with (PgBouncer's `ignore_startup_parameters`),
//! or give each transaction another session, on which nothing was set. So what the guarantees stand on is set with statements
//! and asked for in a transaction after that: one trip, for both are sent at once. Invariants: no connection is used whose
//! settings are not in force, on a session that stays; the isolation and the durability are ours, whatever the role or the
//! database has as its default.

use crate::connect::Server;
use crate::dial::{self, Driven, Target};
use crate::error::{of_connecting, of_statement};
use crate::options::Options;
use crate::purpose::Purpose;
use crate::settings::{Settings, text};
use deadpool_postgres::ClientWrapper;
use factstream_core::store::StoreError;
use futures_util::future::try_join;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, SimpleQueryMessage, SimpleQueryRow};

/// A connection and what came with it.
pub(crate) struct Session {
    client: ClientWrapper,
    /// The server's own process for it.
    pub(crate) backend: String,
    /// The server's time line, which changes when a standby takes over. `None` on a standby.
    pub(crate) timeline: Option<String>,
    reached: Target,
    heard: Arc<Heard>,
}

/// What the server has said by itself.
#[derive(Default)]
struct Heard {
    unreplicated: AtomicU64,
    stood_idle: AtomicBool,
}

/// Takes what the server says by itself: notifications.
pub(crate) type Hear = Box<dyn FnMut(&str) + Send>;

impl Session {
    /// Connects to the first host of the URL that has the session that is wanted.
    pub(crate) async fn open(
        server: &Server,
        options: &Options,
        purpose: Purpose,
        hear: Option<Hear>,
    ) -> Result<Self, StoreError> {
        let limit = server.connect_timeout();
        let mut hear = hear;
        let mut last = None;
        for target in dial::targets(server.config()) {
            let opening = Self::open_at(server, options, purpose, &target, &mut hear);
            match timeout(limit, opening).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    let text = format!("{} cannot be reached (no answer within {limit:?})", server.place);
                    last = Some(StoreError::Busy(text));
                }
            }
        }
        Err(last.unwrap_or(StoreError::Closed))
    }

    async fn open_at(
        server: &Server,
        options: &Options,
        purpose: Purpose,
        target: &Target,
        hear: &mut Option<Hear>,
    ) -> Result<Self, StoreError> {
        let mut config = server.config().clone();
        config.application_name(purpose.application_name());
        let (client, driven, reached) =
            dial::dial(server, &config, target, options.silence_max(purpose)).await?;
        let heard = Arc::default();
        let driving = tokio::spawn(drive(driven, Arc::clone(&heard), hear.take()));
        let client = ClientWrapper::new(client, driving);
        let settings = Settings::of(server, options, purpose);
        let asked = try_join(client.simple_query(settings.set()), client.simple_query(settings.read_back()));
        let (set, read) = asked.await.map_err(|error| match error.as_db_error() {
            Some(_) => of_connecting(&server.place, &error),
            None => of_statement("SET", &error),
        })?;
        let (set, read) = (row(&set)?, row(&read)?);
        settings.check(server, set, read)?;
        let is_read_only = text(set, 1) == "on";
        match server.config().get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite if is_read_only => {
                return Err(StoreError::Busy(format!(
                    "{}: no host of the URL takes writes, as target_session_attrs=read-write asks for",
                    server.place
                )));
            }
            TargetSessionAttrs::ReadOnly if !is_read_only => {
                return Err(StoreError::Busy(format!(
                    "{}: no host of the URL is read-only, as target_session_attrs=read-only asks for",
                    server.place
                )));
            }
            _ => {}
        }
        let timeline = Some(text(read, 1).to_owned()).filter(|timeline| !timeline.is_empty());
        Ok(Self { backend: text(read, 0).to_owned(), timeline, client, reached, heard })
    }

    /// How many commits on this connection are not known to be on the synchronous standby: the server gave up waiting.
    pub(crate) fn unreplicated(&self) -> u64 {
        self.heard.unreplicated.load(Ordering::Acquire)
    }

    /// Whether the server has ended it because its transaction stood idle for too long.
    pub(crate) fn stood_idle(&self) -> bool {
        self.heard.stood_idle.load(Ordering::Acquire)
    }

    /// Ends what still runs on it, in the background, for it is not used again.
    pub(crate) fn abandon(self, server: &Arc<Server>) {
        let (cancel, reached, server) =
            (self.client.cancel_token(), self.reached.clone(), Arc::clone(server));
        drop(self);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(server.connect_timeout(), dial::cancel(&server, &reached, cancel)).await;
            });
        }
    }
}

impl Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

/// Carries a connection until it ends.
async fn drive(mut driven: Driven, heard: Arc<Heard>, mut hear: Option<Hear>) {
    loop {
        match poll_fn(|context| driven.poll_message(context)).await {
            // It comes before the answer to the COMMIT.
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.routine() == Some("SyncRepWaitForLSN") {
                    tracing::warn!(
                        warning = notice.message(),
                        detail = notice.detail(),
                        "a commit is not on the standby"
                    );
                    heard.unreplicated.fetch_add(1, Ordering::Release);
                } else {
                    tracing::debug!(%notice, "the server says");
                }
            }
            Some(Ok(AsyncMessage::Notification(notification))) => {
                if let Some(hear) = &mut hear {
                    hear(notification.payload());
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let is_idle = error.code() == Some(&SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT);
                heard.stood_idle.store(is_idle, Ordering::Release);
                tracing::debug!(%error, source = ?std::error::Error::source(&error), "a connection is lost");
                return;
            }
            None => return,
        }
    }
}

fn row(messages: &[SimpleQueryMessage]) -> Result<&SimpleQueryRow, StoreError> {
    let rows = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.ok_or_else(|| {
        StoreError::Engine("the server answered a question about settings without a row".into())
    })
}
