//! Waiting for what a command led to: the first event of its conversation that is of a wanted type, read from the log.
//!
//! Invariants: there is no queue of replies, and nothing is kept for who waits: the log has it. It is read on from a position, each event
//! once.

use crate::app::App;
use crate::error::Error;
use crate::kernel::inside;
use factstream_core::decode::Decoder;
use factstream_core::envelope::{Envelope, Position, RecordedEvent};
use factstream_core::event::EventSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// How long is waited unless it is said.
const WITHIN: Duration = Duration::from_secs(5);
/// No wait is longer.
const WITHIN_MAX: Duration = Duration::from_secs(24 * 3_600);
/// So many of the newest events are looked at where no position is given.
const LOOK_BACK: Position = 10_000;
/// Events that are read at a time.
const PAGE: usize = 500;

/// A wait for an event of a conversation; `.await` it.
#[must_use = "nothing is waited for until it is awaited"]
pub struct AwaitOutcome<'a, E> {
    app: &'a App,
    correlation_id: String,
    after: Option<Position>,
    within: Duration,
    events: PhantomData<fn() -> E>,
}

impl<E> fmt::Debug for AwaitOutcome<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitOutcome")
            .field("correlation_id", &self.correlation_id)
            .field("after", &self.after)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Waits for what a command led to: the first event of these types with this correlation id, already recorded or yet to come.
    ///
    /// The log is read on from [`AwaitOutcome::after`]. Events of one conversation share a correlation id: what is given with a command's
    /// [`Context`](crate::Context), and carried on by handlers and processes. On the store that this application writes to; what another system
    /// publishes comes in by a consumer.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let app = shop().await;
    /// use factstream::Context;
    /// # use std::time::Duration;
    ///
    /// let context = Context::new().correlation_id("request-42");
    /// let before = app.head().await?;
    /// app.execute("o-1", create()).context(&context).await?;
    /// let created = app.outcome::<OrderEvent>("request-42").after(before).within(Duration::from_secs(5)).await?;
    /// assert_eq!(created.aggregate_id, "o-1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn outcome<E: EventSet>(&self, correlation_id: impl Into<String>) -> AwaitOutcome<'_, E> {
        AwaitOutcome {
            app: self,
            correlation_id: correlation_id.into(),
            after: None,
            within: WITHIN,
            events: PhantomData,
        }
    }
}

impl<E: EventSet> AwaitOutcome<'_, E> {
    /// Looks at events after this position: of a command that was executed, its [`Executed::position`](crate::Executed), or the head from
    /// before. Without it, the newest 10,000 events are looked at, and what comes.
    pub fn after(mut self, position: Position) -> Self {
        self.after = Some(position);
        self
    }

    /// How long to wait, at most a day; 5 s by default. Then it is [`Error::NoOutcome`].
    pub fn within(mut self, wait: Duration) -> Self {
        self.within = wait.min(WITHIN_MAX);
        self
    }

    async fn run(self) -> Result<Envelope<E>, Error> {
        inside::refuse(self.app.store_id(), "App::outcome")?;
        let decoder = self.app.kernel().states.decoder::<E>()?;
        let deadline = Instant::now() + self.within;
        let store = self.app.store();
        let mut at = match self.after {
            Some(after) => after,
            None => self.app.head().await?.saturating_sub(LOOK_BACK),
        };
        loop {
            let page = store.read_log(at, PAGE).await?;
            for event in &page {
                if let Some(found) = self.is_it(event, &decoder)? {
                    return Ok(found);
                }
            }
            at = page.last().map_or(at, |last| last.position);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let Self { correlation_id, within, .. } = self;
                return Err(Error::NoOutcome { correlation_id, within, looked_to: at });
            }
            if page.is_empty() {
                store.wait_beyond(at, left).await?;
            }
        }
    }

    /// The event, if it is one of the conversation and of a wanted type.
    fn is_it(&self, event: &RecordedEvent, decoder: &Decoder) -> Result<Option<Envelope<E>>, Error> {
        let is_wanted =
            E::event_types().iter().any(|wanted| wanted.names().any(|name| name == event.event_type));
        if !is_wanted {
            return Ok(None);
        }
        let Ok(envelope) = event.envelope() else { return Ok(None) };
        if envelope.correlation_id.as_deref() != Some(&self.correlation_id) {
            return Ok(None);
        }
        let undecodable = |reason| Error::Undecodable { position: event.position, reason };
        let decoded = decoder.decode_envelope(&envelope, &event.data).map_err(undecodable)?;
        Ok(Some(envelope.with(decoded)))
    }
}

impl<'a, E: EventSet> IntoFuture for AwaitOutcome<'a, E> {
    type Output = Result<Envelope<E>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
