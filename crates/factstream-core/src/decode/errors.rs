//! What cannot be wired at start, and what cannot be decoded later.

use super::ContentError;

/// Why the events and upcasters of an application do not fit together. Found at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WiringError {
    /// No upcaster leads on from a version that may lie in the store.
    #[error(
        "event type {event_type} is at version {version}, but no upcaster leads from version {from} to {to}; add .step(\"{event_type}\", {from}, {to}, ..), or say since = {to} if version {from} was never stored"
    )]
    MissingStep {
        /// The type.
        event_type: String,
        /// The version that is stuck.
        from: u32,
        /// The next one.
        to: u32,
        /// The version of this build.
        version: u32,
    },
    /// Two upcasters start at the same version.
    #[error("event type {event_type} has two upcasters from version {from} to {to}; keep one")]
    DuplicateStep {
        /// The type.
        event_type: String,
        /// From.
        from: u32,
        /// To.
        to: u32,
    },
    /// An upcaster does not go upwards.
    #[error(
        "the upcaster of {event_type} from version {from} to {to} makes a cycle; a step goes from n to n+1"
    )]
    Cycle {
        /// The type.
        event_type: String,
        /// From.
        from: u32,
        /// To.
        to: u32,
    },
    /// An upcaster skips a version.
    #[error(
        "the upcaster of {event_type} jumps from version {from} to {to}; write one step for each version"
    )]
    Jump {
        /// The type.
        event_type: String,
        /// From.
        from: u32,
        /// To.
        to: u32,
    },
    /// An upcaster for a type that no aggregate and no handler declares.
    #[error(
        "there is an upcaster from version {from} to {to} for {event_type}, but no aggregate or handler of this application declares that event type; check the name"
    )]
    StepForUnknownType {
        /// The type.
        event_type: String,
        /// From.
        from: u32,
        /// To.
        to: u32,
    },
    /// An upcaster outside the versions that the type declares.
    #[error(
        "the upcaster of {event_type} from version {from} to {to} lies outside its declared versions {since} to {version}; change #[event(version, since)] or remove the step"
    )]
    StepOutOfRange {
        /// The type.
        event_type: String,
        /// From.
        from: u32,
        /// To.
        to: u32,
        /// The oldest declared version.
        since: u32,
        /// The newest declared version.
        version: u32,
    },
    /// Two enums declare the same name with different versions.
    #[error(
        "event type {event_type} is declared with version {one} and with version {other} in one application; declare the same version everywhere"
    )]
    TwoVersions {
        /// The type.
        event_type: String,
        /// One.
        one: u32,
        /// The other.
        other: u32,
    },
    /// Two enums of one event set declare the same name.
    #[error(
        "event type {event_type} is declared by {one} and by {other} in one event set, and the second would never be given it; take one of the two out of the set"
    )]
    TwiceInSet {
        /// The type.
        event_type: String,
        /// The enum that comes first.
        one: String,
        /// The other.
        other: String,
    },
    /// Two enums declare the same name with different former names.
    #[error(
        "event type {event_type} has other former names in {one} than in {other}, which would pass over some stored events; write the same was = [..] in both"
    )]
    TwoHistories {
        /// The type.
        event_type: String,
        /// One enum.
        one: String,
        /// The other.
        other: String,
    },
    /// A former name is declared as a type of its own.
    #[error(
        "{declared_by} declares {event_type}, which is called {now} now: it would be given none of the new events; rename it there, too, with was = [\"{event_type}\"]"
    )]
    FormerName {
        /// The former name.
        event_type: String,
        /// Today's.
        now: String,
        /// The enum that still has the former one.
        declared_by: String,
    },
    /// A type is dropped, and declared.
    #[error(
        "{declared_by} declares {event_type}, which Upcasters::drop passes over; remove the variant, or keep it with #[event(retired)] and do not drop it"
    )]
    DroppedAndDeclared {
        /// The type.
        event_type: String,
        /// The enum that declares it.
        declared_by: String,
    },
    /// Two enums send the same name to different topics.
    #[error(
        "event type {event_type} is declared with topic {one} and with topic {other} in one application; one event type has one topic"
    )]
    TwoTopics {
        /// The type.
        event_type: String,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
}

/// Why an event cannot be decoded. Never retried: the same bytes give the same answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// This build declares no such type.
    #[error("this build does not know the event type {event_type:?}; deploy the version that declares it")]
    UnknownType {
        /// The type.
        event_type: String,
    },
    /// Recorded under the name that factstream 0.1 gave it.
    #[error(
        "this build calls the event type {event_type:?} {now:?}; to keep the stored name, write #[event(name = {event_type:?})] on the variant, or #[event(prefix = \"\")] on its enum"
    )]
    Renamed {
        /// The stored name.
        event_type: String,
        /// The name in this build.
        now: String,
    },
    /// Written by a newer build, or by one older than `since`.
    #[error(
        "this build knows event type {event_type} in versions {since} to {version}, not {schema_version}; deploy a build that does, or add an upcaster"
    )]
    UnknownVersion {
        /// The type.
        event_type: String,
        /// The version found.
        schema_version: u32,
        /// The oldest known.
        since: u32,
        /// The newest known.
        version: u32,
    },
    /// The JSON does not fit the type.
    #[error("the content of event {event_type} version {schema_version} does not fit its type: {reason}")]
    Content {
        /// The type.
        event_type: String,
        /// The version found.
        schema_version: u32,
        /// Where, and why.
        reason: ContentError,
    },
    /// An upcaster refused.
    #[error("the upcaster of {event_type} from version {from} to {to} failed: {reason}")]
    Upcast {
        /// The type.
        event_type: String,
        /// From.
        from: u32,
        /// To.
        to: u32,
        /// What the upcaster says.
        reason: String,
    },
}
