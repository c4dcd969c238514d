//! Why a handler failed: whether trying again may help, and what is shown of the reason.

use crate::refusals::{self, Held};
use crate::tasks::panic_text;
use factstream_core::decode::ContentError;
use futures_util::FutureExt;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The most that is kept of one error's text. It may quote the event, which may be large.
const TEXT_BYTES_MAX: usize = 4_096;
/// The most errors of one chain.
const CHAIN_MAX: usize = 32;
/// The longest wait that a failure can ask for ([`Failure::retry_after`]).
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Why a handler could not handle an event, and whether trying again can help.
///
/// Made from any error with `?`, and is then transient; but an aggregate's refusal of a command ([`ExecuteError::Rejected`](crate::ExecuteError::Rejected))
/// is permanent.
///
/// ```
/// # use factstream::Failure;
/// fn parse(text: &str) -> Result<u64, Failure> {
///     // Waiting does not help: a dead letter at once. Without this, `?` would make it a failure that is tried again.
///     text.parse().map_err(Failure::permanent)
/// }
///
/// assert!(parse("twelve").is_err_and(|failure| failure.is_permanent()));
/// ```
pub struct Failure {
    permanent: bool,
    retry_after: Option<Duration>,
    /// Whether it was the one event that an open circuit let through: no attempt.
    is_probe: bool,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Trying again cannot help: the event becomes a dead letter at once.
    pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { permanent: true, ..Self::transient(error) }
    }

    /// Trying again may help: the event is retried as the handler's `retry` says, then becomes a dead letter.
    pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { permanent: false, retry_after: None, is_probe: false, error: error.into() }
    }

    /// The next attempt comes after this wait and not before, in the place of the backoff that the handler's `retry` gives: what the
    /// other side asked for, such as HTTP's `Retry-After`. At most 15 minutes count. It is an attempt like any other: with
    /// [`Retry::max_attempts`](crate::Retry) of them the event becomes a dead letter. Of a permanent failure it changes nothing.
    ///
    /// ```
    /// # use factstream::Failure;
    /// # use std::time::Duration;
    /// let busy = Failure::transient("429 Too Many Requests").retry_after(Duration::from_secs(30));
    /// assert!(!busy.is_permanent());
    /// ```
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait.min(RETRY_AFTER_MAX));
        self
    }

    /// That of an event which an open circuit let through.
    pub(crate) fn of_probe(self) -> Self {
        Self { is_probe: true, ..self }
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// The wait that was asked for.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The error and what caused it, outermost first, each once: a cause that the error before it quotes is left out. Each is shown
    /// as it can be kept: at most some kilobytes, without NUL, which no database text may hold. What serde_json says is shown
    /// without the content that it quotes ([`ContentError`]).
    pub fn chain(&self) -> Vec<String> {
        let of_json = self.errors().filter_map(|error| error.downcast_ref::<serde_json::Error>());
        let quoting: Vec<(String, String)> =
            of_json.map(|error| (error.to_string(), ContentError::from(error).to_string())).collect();
        let mut chain: Vec<String> = Vec::new();
        for error in self.errors().take(CHAIN_MAX) {
            let text =
                quoting.iter().fold(error.to_string(), |text, (quoted, plain)| text.replace(quoted, plain));
            let text = shown(&text);
            if chain.last().is_none_or(|before| !before.contains(&text)) {
                chain.push(text);
            }
        }
        chain
    }

    /// The error and its sources.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let outermost: &(dyn Error + 'static) = &*self.error;
        std::iter::successors(Some(outermost), |error: &&(dyn Error + 'static)| (*error).source())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let failure = Self::transient(error);
        let permanent = failure.errors().any(|error| match refusals::held(error) {
            Some(Held::Refusal) => true,
            Some(Held::Failure(error)) => is_hopeless(error),
            None => error.downcast_ref().is_some_and(is_hopeless),
        });
        Self { permanent, ..failure }
    }
}

/// Whether it never works, however often it is tried.
fn is_hopeless(error: &crate::error::Error) -> bool {
    use crate::error::Error as Ours;
    matches!(error, Ours::InsideTransaction { .. } | Ours::KeyReused { .. })
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.permanent { "permanent" } else { "transient" };
        write!(f, "{kind} failure: {}", self.chain().join(": "))
    }
}

fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    let ellipsis = if end < text.len() { " .." } else { "" };
    text[..end].replace('\0', "\u{fffd}") + ellipsis
}

/// Runs user code; a panic is a failure like any other.
pub(crate) async fn caught<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::transient(format!("the handler panicked: {}", panic_text(&*panic)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_failure_is_bounded_and_has_no_nul() {
        let failure = Failure::permanent(format!("a\0b{}", "ä".repeat(1_000_000)));
        let chain = failure.chain();
        assert!(chain[0].starts_with("a\u{fffd}b") && chain[0].len() <= TEXT_BYTES_MAX + 10, "{chain:?}");
        assert_eq!(Failure::transient("as it is").chain(), ["as it is"]);
    }

    #[test]
    fn a_failure_waits_as_long_as_it_asks_for_and_no_longer_than_the_maximum() {
        let asked = |wait| Failure::transient("busy").retry_after(wait).asked_wait();
        assert_eq!(asked(Duration::from_secs(30)), Some(Duration::from_secs(30)));
        assert_eq!(asked(Duration::MAX), Some(RETRY_AFTER_MAX));
        assert_eq!(Failure::transient("busy").asked_wait(), None);
    }

    #[test]
    fn a_key_that_was_used_for_something_else_is_never_tried_again() {
        use crate::error::Error as Ours;
        let reused = || Ours::KeyReused { key: "k-1".into(), first_used_for: "order/Ship".into() };
        assert!(Failure::from(reused()).is_permanent());
        refusals::register::<fmt::Error>(); // as whoever executes a command does
        assert!(Failure::from(crate::ExecuteError::<fmt::Error>::Failed(reused())).is_permanent());
        let busy = Ours::Store(factstream_core::store::StoreError::Busy("a writer".into()));
        assert!(!Failure::from(busy).is_permanent());
    }

    #[test]
    fn a_reason_is_shown_once_and_without_what_it_quotes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the order is refused: {0}")]
        struct Refused(#[source] serde_json::Error);

        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Twice(#[source] std::num::ParseIntError);

        let quoting = serde_json::from_str::<u32>("\"Jane Doe\"").unwrap_err();
        assert_eq!(
            Failure::from(Refused(quoting)).chain(),
            ["the order is refused: invalid type: string, expected u32 (line 1, column 10)"]
        );
        assert_eq!(Failure::from(Twice("x".parse::<u8>().unwrap_err())).chain().len(), 1);
    }
}
