//! How long is kept what nobody needs for ever.

use crate::error::Error;
use std::time::Duration;

/// How long is kept what nobody needs for ever. Part of [`Builder::retention`](crate::Builder::retention).
///
/// ```
/// use factstream::Retention;
/// use std::time::Duration;
///
/// const DAY: Duration = Duration::from_secs(24 * 3_600);
/// let retention = Retention { command_keys: 7 * DAY, letters: 365 * DAY, ..Retention::default() };
/// assert_eq!(retention.inbox, 30 * DAY);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long an idempotency key is known: a repeat that comes later takes effect anew. [`COMMAND_KEY_RETENTION`] unless said.
    pub command_keys: Duration,
    /// How long a letter stays on record after the last thing that happened to it, once it was handled, discarded or superseded.
    /// [`LETTER_RETENTION`] unless said. Letters that wait are kept, and so is what a person decided about an event.
    pub letters: Duration,
    /// How long a consumer knows that it has handled an event, at least; longer while the event may come again.
    /// [`INBOX_RETENTION`] unless said. On Kafka, topics have to forget their records before.
    pub inbox: Duration,
    /// How long embedded topics keep a record that every group has read. [`TOPIC_RETENTION`] unless said.
    pub topics: Duration,
    /// How long an instance of a process is known after its end, with its history: an event that would start it and comes later starts it
    /// anew. [`PROCESS_RETENTION`] unless said. Those that run are kept.
    pub processes: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            command_keys: COMMAND_KEY_RETENTION,
            letters: LETTER_RETENTION,
            inbox: INBOX_RETENTION,
            topics: TOPIC_RETENTION,
            processes: PROCESS_RETENTION,
        }
    }
}

impl Retention {
    /// Refuses what cannot be meant: clients repeat and brokers deliver again for some minutes at least.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self { command_keys, letters, inbox, topics, processes } = *self;
        for (name, kept) in [
            ("command_keys", command_keys),
            ("letters", letters),
            ("inbox", inbox),
            ("topics", topics),
            ("processes", processes),
        ] {
            if !(SHORTEST..=LONGEST).contains(&kept) {
                return Err(Error::Wiring(format!(
                    "retention: {name} is {kept:?}; it can be from {SHORTEST:?} (one hour) to {LONGEST:?} (100 years)"
                )));
            }
        }
        Ok(())
    }
}

const SHORTEST: Duration = Duration::from_secs(3_600);
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// How long an idempotency key is known: a repeat that comes later takes effect anew (G4).
pub const COMMAND_KEY_RETENTION: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long a letter stays on record, with its history, after it was handled, discarded or superseded.
pub const LETTER_RETENTION: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long an event is known to be handled, unless said.
pub const INBOX_RETENTION: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long an instance of a process is known after its end (G15), unless said.
pub const PROCESS_RETENTION: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long the embedded broker keeps records that every group has read, unless said.
pub const TOPIC_RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
