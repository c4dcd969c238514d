//! Causal order, as it is asked for (G19).

use std::time::Duration;

/// What becomes of an event whose causes are not handled when its wait is over. Either is counted in
/// [`HandlerStatus::late`](crate::status::HandlerStatus::late).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Late {
    /// It is handled without them.
    #[default]
    Handle,
    /// It becomes a dead letter. Redriven, it is handled, with or without its causes.
    DeadLetter,
}

/// How long an event waits for its causes, and what then. For [`Consumer::causal`](crate::Consumer::causal).
///
/// ```
/// use factstream::{Causal, Late};
/// use std::time::Duration;
///
/// let causal = Causal::wait(Duration::from_secs(30)).then(Late::DeadLetter);
/// # let _ = causal;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Causal {
    pub(crate) wait: Duration,
    pub(crate) late: Late,
    /// How long the inbox knows what was handled: of older causes nobody can tell.
    pub(crate) known: Duration,
}

impl Causal {
    /// Waits for causes at most this long, counted from when the event was first taken up; then it is handled without them. At least a
    /// millisecond, and not longer than [`Retention::inbox`](crate::Retention::inbox).
    pub fn wait(at_most: Duration) -> Self {
        Self { wait: at_most, late: Late::Handle, known: Duration::ZERO }
    }

    /// What becomes of an event when the wait is over.
    #[must_use]
    pub fn then(self, late: Late) -> Self {
        Self { late, ..self }
    }
}
