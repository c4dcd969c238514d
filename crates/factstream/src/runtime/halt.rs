//! A handler that has halted: it takes in nothing, says why and what to do, and goes on when a person has moved it, or when what was
//! lost is back. Trying again by itself would be of no use, and in a group of a cluster each try disturbs the other members.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::processor::{checkpoint, offsets};
use crate::registry;
use factstream_core::envelope::Position;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a person has moved the handler.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is asked whether its group could go on by itself.
const ASK: Duration = Duration::from_secs(3);

/// What a halted handler waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Its checkpoint, which lies beyond the head of the log, is moved. With new events the head will pass it, and what lies between
    /// would be skipped: so the head is not asked again.
    Checkpoint(Position),
    /// Its group can go on.
    Group,
}

impl Halt {
    /// `None` for an error that passes, or may.
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::BeyondHead { checkpoint, .. } => Some(Self::Checkpoint(*checkpoint)),
            Error::Broker(error) if error.halts() => Some(Self::Group),
            _ => None,
        }
    }

    /// Why it halted, and what to do.
    pub(crate) fn reason(self, handler: &str, error: &Error) -> String {
        match self {
            Self::Checkpoint(_) => error.to_string(),
            Self::Group => {
                format!("{error}: handlers reset {handler} --to beginning, now or TOPIC/PARTITION=OFFSET")
            }
        }
    }

    /// Waits until the handler can go on, or is stopped.
    pub(crate) async fn until_over(
        self,
        kernel: &Kernel,
        handler: &str,
        shard: u32,
        stop: &CancellationToken,
    ) {
        let generation = generation_of(kernel, handler).await;
        let mut asked = Instant::now();
        while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
            let is_over = match self {
                Self::Checkpoint(from) => {
                    let store = kernel.store.as_ref();
                    checkpoint::is_elsewhere(store, handler, shard, from).await.unwrap_or(false)
                }
                Self::Group if asked.elapsed() >= ASK => {
                    asked = Instant::now();
                    can_go_on(kernel, handler).await
                }
                Self::Group => match (generation, generation_of(kernel, handler).await) {
                    (Some(before), Some(now)) => before != now,
                    _ => false,
                },
            };
            if is_over {
                return;
            }
        }
    }
}

async fn generation_of(kernel: &Kernel, handler: &str) -> Option<i64> {
    registry::find(kernel.store.as_ref(), handler).await.ok()?.map(|found| found.generation)
}

async fn can_go_on(kernel: &Kernel, handler: &str) -> bool {
    let asked = async {
        let Some(found) = registry::find(kernel.store.as_ref(), handler).await? else { return Ok(()) };
        let topics: Vec<String> = found.topics.into_iter().collect();
        let stored = if kernel.groups_need_lease {
            Vec::new() // in the broker already
        } else {
            let cluster = kernel.broker.cluster().await?;
            offsets::stored(kernel.store.as_ref(), handler, &cluster).await?
        };
        Ok::<_, Error>(kernel.broker.check_group(handler, &topics, &stored).await?)
    };
    match asked.await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%handler, %error, "it stays halted");
            false
        }
    }
}
