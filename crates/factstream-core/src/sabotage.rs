//! For the harness in `tests/storm` only: guarantees broken on purpose, to show that its checker notices.
//!
//! Invariant: without the feature `sabotage`, which nothing turns on but that harness's own build, [`is_on`] is a constant
//! `false` and nothing of this is in the program. With it, `FACTSTREAM_SABOTAGE` names the one that is on.

/// A guarantee that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Events are handled whether or not the inbox has them (G6).
    InboxOff,
    /// A projection's checkpoint is committed before its effects, in a transaction of its own (G6).
    CheckpointOutside,
    /// A consumer's progress is committed to the broker before the work is done (G6).
    AckBeforeCommit,
    /// A checkpoint is moved from wherever it stands: an owner that was paused goes on (G6).
    FenceOff,
    /// Positions come from a sequence, without the counter's lock (G2). PostgreSQL only.
    PositionFromSequence,
    /// Events of a key whose head is a dead letter are handled (G8).
    NoParking,
    /// Marks are written under any generation: a build that another one has replaced goes on (G10).
    GenerationFenceOff,
    /// A rebuild switches whenever one is under way, whichever it is (G10).
    SwitchAnyRebuild,
    /// An append is acknowledged before it is on disk (G1). PostgreSQL only: what a killed process wrote to a file stays.
    SynchronousOff,
    /// A fault of the store (a revoked grant, for example) is counted against the event at hand (G8).
    InfrastructureIsTheEventsFault,
    /// A record's time is its event's, which may be long ago: retention deletes it unread (G5).
    RecordTimeOfEvent,
    /// A record is known by its place or its producer's id alone, whatever topic, or life of a topic, it is of (G6).
    IdentityWithoutIncarnation,
    /// A timer takes effect although it was cancelled, set anew or taken by another process (G16).
    TimerTokenOff,
    /// Timers are due by the process's own clock (G16).
    TimerLocalClock,
    /// A timer is deleted before its effects, in a transaction of its own (G16).
    TimerDeletedOutside,
    /// A process handles its inputs in the order of the aggregates that they come from, not in its own (G15).
    ProcessKeyByAggregate,
    /// A process's state is written in a transaction of its own, whatever becomes of the one that has its commands and its mark (G15).
    ProcessStateOutside,
    /// An instance of a process that has ended is forgotten at once, so that what comes later begins it again (G15).
    EndedForgotten,
    /// Events are handled whether or not their causes are (G19).
    CausesIgnored,
    /// Each process has a shared rate for itself (G20).
    RatePerProcess,
}

impl Sabotage {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::InboxOff,
        Self::CheckpointOutside,
        Self::AckBeforeCommit,
        Self::FenceOff,
        Self::PositionFromSequence,
        Self::NoParking,
        Self::GenerationFenceOff,
        Self::SwitchAnyRebuild,
        Self::SynchronousOff,
        Self::InfrastructureIsTheEventsFault,
        Self::RecordTimeOfEvent,
        Self::IdentityWithoutIncarnation,
        Self::TimerTokenOff,
        Self::TimerLocalClock,
        Self::TimerDeletedOutside,
        Self::ProcessKeyByAggregate,
        Self::ProcessStateOutside,
        Self::EndedForgotten,
        Self::CausesIgnored,
        Self::RatePerProcess,
    ];

    /// What `FACTSTREAM_SABOTAGE` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InboxOff => "inbox-off",
            Self::CheckpointOutside => "checkpoint-outside",
            Self::AckBeforeCommit => "ack-before-commit",
            Self::FenceOff => "fence-off",
            Self::PositionFromSequence => "position-from-sequence",
            Self::NoParking => "no-parking",
            Self::GenerationFenceOff => "generation-fence-off",
            Self::SwitchAnyRebuild => "switch-any-rebuild",
            Self::SynchronousOff => "synchronous-off",
            Self::InfrastructureIsTheEventsFault => "infrastructure-is-the-events-fault",
            Self::RecordTimeOfEvent => "record-time-of-event",
            Self::IdentityWithoutIncarnation => "identity-without-incarnation",
            Self::TimerTokenOff => "timer-token-off",
            Self::TimerLocalClock => "timer-local-clock",
            Self::TimerDeletedOutside => "timer-deleted-outside",
            Self::ProcessKeyByAggregate => "process-key-by-aggregate",
            Self::ProcessStateOutside => "process-state-outside",
            Self::EndedForgotten => "ended-forgotten",
            Self::CausesIgnored => "causes-ignored",
            Self::RatePerProcess => "rate-per-process",
        }
    }
}

/// Whether this build can be sabotaged.
pub const BUILT_IN: bool = cfg!(feature = "sabotage");

/// Whether this guarantee is broken on purpose.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn is_on(_: Sabotage) -> bool {
    false
}

/// Whether this guarantee is broken on purpose.
///
/// # Panics
/// When `FACTSTREAM_SABOTAGE` names none.
#[cfg(feature = "sabotage")]
pub fn is_on(sabotage: Sabotage) -> bool {
    use std::sync::OnceLock;
    static ON: OnceLock<Option<Sabotage>> = OnceLock::new();
    let named = || {
        let name = std::env::var("FACTSTREAM_SABOTAGE").ok().filter(|name| !name.is_empty())?;
        let found = Sabotage::ALL.iter().copied().find(|sabotage| sabotage.name() == name);
        Some(found.unwrap_or_else(|| panic!("FACTSTREAM_SABOTAGE={name} is none of {:?}", Sabotage::ALL)))
    };
    *ON.get_or_init(named) == Some(sabotage)
}
