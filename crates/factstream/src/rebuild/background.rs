//! What goes on beside the folding of a rebuild: pages are read ahead, and rows are written behind.

use crate::handler::Failure;
use crate::handler::filling::Unwritten;
use crate::processor::Processor;
use crate::processor::checkpoint::{move_params, move_statement};
use crate::tasks::joined;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::store::{Store, StoreError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Events read at once.
pub(super) const PAGE_EVENTS: usize = 1_000;
/// Pages that are read and wait to be folded (G13); of large events a page has fewer.
const PAGES_AHEAD: usize = 4;

/// Reads the log from its beginning, some pages ahead of those who fold them.
pub(super) struct Ahead {
    pages: mpsc::Receiver<(Vec<RecordedEvent>, Position)>,
    reader: AbortOnDropHandle<Result<(), StoreError>>,
}

impl Ahead {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let reader = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut at = 0;
            loop {
                let page = store.read_log(at, PAGE_EVENTS).await?;
                let Some(last) = page.last() else { return Ok(()) };
                at = last.position;
                if sender.send((page, at)).await.is_err() {
                    return Ok(()); // nobody wants them any more
                }
            }
        }));
        Self { pages, reader }
    }

    /// The next page and the position of its last event; `None` where the log ended when it was looked at.
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<RecordedEvent>, Position)>, StoreError> {
        match self.pages.recv().await {
            Some(page) => Ok(Some(page)),
            None => joined((&mut self.reader).await).map(|()| None),
        }
    }
}

/// Writes rows in the background, one lot after the other.
pub(super) struct Writing {
    processor: Arc<Processor>,
    /// Where the rebuild's checkpoint stands. It moves with each lot: a rebuild that another one has superseded ends there.
    pub(super) written: Position,
    under_way: Option<AbortOnDropHandle<Result<(), Failure>>>,
}

impl Writing {
    pub(super) fn new(processor: Arc<Processor>) -> Self {
        Self { processor, written: 0, under_way: None }
    }

    /// Begins to write a lot, when the one before is written.
    pub(super) async fn begin(&mut self, lot: Vec<Box<dyn Unwritten>>, to: Position) -> Result<(), Failure> {
        self.settle().await?;
        let (processor, mut from) = (Arc::clone(&self.processor), self.written);
        self.written = if lot.is_empty() { from } else { to };
        self.under_way = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            for part in lot {
                let mut tx = processor.begin().await?;
                if tx.sql(move_statement(), move_params(processor.place(), from, to)).await? == 0 {
                    return Err(processor.superseded().into());
                }
                part.write(&mut tx).await?;
                tx.commit().await?;
                from = to;
            }
            Ok(())
        })));
        Ok(())
    }

    /// Waits until everything is written.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        match self.under_way.take() {
            Some(under_way) => joined(under_way.await),
            None => Ok(()),
        }
    }
}
