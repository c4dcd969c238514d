//! Whether the log is sealed.

use super::Builder;
use std::time::Duration;

impl Builder {
    /// Seals the log (G24): every event is hashed into a tree, at the latest so long after it was appended. A
    /// [checkpoint](crate::seals::Seals::checkpoint) of that tree which lies elsewhere shows later that nothing was changed, removed or reordered up to
    /// there ([`App::seals`](crate::App::seals)). Off unless said, and then it costs nothing.
    ///
    /// One of the processes with this setting seals, also what was appended before it was set. 1,024 events are sealed as soon
    /// as they are there; a row takes 48 bytes an event and about 300 more, so a short time makes more rows where events are few. A
    /// minute is a good choice.
    pub fn seal_within(mut self, time: Duration) -> Self {
        self.seals_within = Some(time);
        self
    }
}
