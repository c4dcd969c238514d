//! What a subscription asks of its member's thread.

use factstream_core::broker::{BrokerError, Partition};
use factstream_core::message::Record;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, BrokerError>>;

/// What is asked of it.
pub(super) enum Request {
    Poll { records_max: usize, wait: Duration, reply: Reply<Vec<Record>> },
    Commit { next: Vec<(Partition, i64)>, reply: Reply<()> },
}
