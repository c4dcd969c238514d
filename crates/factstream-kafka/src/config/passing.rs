//! Which errors pass by themselves, by kind: the cluster is away, a role moves from one broker to another, or the client's own
//! picture of the cluster is on its way to the new one. Everything else is told at once.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The cluster, or what was asked of it, may answer later.
pub(crate) fn is_passing(error: &KafkaError) -> bool {
    code_of(error).is_some_and(is_passing_code)
}

/// The code of an error, also of what an admin client is refused.
pub(crate) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

pub(crate) fn is_passing_code(code: RDKafkaErrorCode) -> bool {
    is_away(code) || is_moving(code) || is_catching_up(code)
}

/// Nobody answers, or not in time.
pub(super) fn is_away(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, CoordinatorLoadInProgress,
        CoordinatorNotAvailable, LeaderNotAvailable, NetworkException, NotCoordinator, NotLeaderForPartition,
        OperationTimedOut, RequestTimedOut, Resolve, TimedOutQueue, WaitingForCoordinator,
    };
    matches!(
        code,
        AllBrokersDown
            | BrokerNotAvailable
            | BrokerTransportFailure
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | LeaderNotAvailable
            | NetworkException
            | NotCoordinator
            | NotLeaderForPartition
            | OperationTimedOut
            | RequestTimedOut
            | Resolve
            | TimedOutQueue
            | WaitingForCoordinator
    )
}

/// Another broker has the role by now, or will have it: leader, replica, controller.
fn is_moving(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        EligibleLeadersNotAvailable, FencedLeaderEpoch, KafkaStorageError, ListenerNotFound, NotController,
        NotEnoughReplicas, NotEnoughReplicasAfterAppend, OffsetNotAvailable, PreferredLeaderNotAvailable,
        ReplicaNotAvailable, StaleBrokerEpoch, StaleControllerEpoch, ThrottlingQuotaExceeded,
        UnknownLeaderEpoch, UnstableOffsetCommit,
    };
    matches!(
        code,
        EligibleLeadersNotAvailable
            | FencedLeaderEpoch
            | KafkaStorageError
            | ListenerNotFound
            | NotController
            | NotEnoughReplicas
            | NotEnoughReplicasAfterAppend
            | OffsetNotAvailable
            | PreferredLeaderNotAvailable
            | ReplicaNotAvailable
            | StaleBrokerEpoch
            | StaleControllerEpoch
            | ThrottlingQuotaExceeded
            | UnknownLeaderEpoch
            | UnstableOffsetCommit
    )
}

/// librdkafka has dropped a broker that the cluster no longer names, or takes in what it was told meanwhile.
fn is_catching_up(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        BrokerDestroy, DestroyBroker, FetchSessionIdNotFound, ISRInsufficient, InProgress, Interrupted,
        InvalidFetchSessionEpoch, NodeUpdate, Outdated, Partial, PreviousInProgress, RebootstrapRequired,
        Retry, UnknownBroker, UnknownTopicId, WaitCache,
    };
    matches!(
        code,
        BrokerDestroy
            | DestroyBroker
            | FetchSessionIdNotFound
            | ISRInsufficient
            | InProgress
            | Interrupted
            | InvalidFetchSessionEpoch
            | NodeUpdate
            | Outdated
            | Partial
            | PreviousInProgress
            | RebootstrapRequired
            | Retry
            | UnknownBroker
            | UnknownTopicId
            | WaitCache
    )
}
