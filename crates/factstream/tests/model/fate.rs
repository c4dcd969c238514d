//! What happens to the two processes of a case: kills, clean ends, starts and takeovers.

use proptest::prelude::*;

/// What happens to a process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// It is gone. `forgets`: before it could write down how far relay and consumers had come.
    Crash {
        by: usize,
        forgets: bool,
    },
    /// A clean end.
    Stop {
        by: usize,
    },
    Start {
        by: usize,
    },
    /// The other process takes all leases over, as it does when the owner was paused, and the owner goes on.
    Takeover,
}

/// One of the two processes.
pub(crate) fn by() -> impl Strategy<Value = usize> {
    0..2_usize
}

pub(crate) fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (by(), any::<bool>()).prop_map(|(by, forgets)| Fate::Crash { by, forgets }),
        1 => by().prop_map(|by| Fate::Stop { by }),
        6 => by().prop_map(|by| Fate::Start { by }),
        3 => Just(Fate::Takeover),
    ]
}
