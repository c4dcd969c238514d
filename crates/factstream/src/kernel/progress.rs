//! How far this process's handlers have come, told to whoever waits (G11).
//!
//! Invariant: a position is told only after it is committed. The store has the last word; this only saves asking it.

use crate::tasks::lock;
use factstream_core::envelope::Position;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct Progress {
    handlers: Mutex<HashMap<String, watch::Sender<Position>>>,
}

impl Progress {
    /// A handler has committed up to here.
    pub(crate) fn reached(&self, handler: &str, position: Position) {
        let mut handlers = lock(&self.handlers);
        if let Some(sender) = handlers.get(handler) {
            sender.send_replace(position);
        } else {
            handlers.insert(handler.to_owned(), watch::Sender::new(position));
        }
    }

    /// Follows a handler.
    pub(crate) fn follow(&self, handler: &str) -> watch::Receiver<Position> {
        let mut handlers = lock(&self.handlers);
        handlers.entry(handler.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }
}
