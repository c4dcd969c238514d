//! Whose fault a failure is: the event's, other work's, or the store's.
//!
//! Invariants: what the store itself has done wrong (a right is missing, it only reads, it is away) is never counted against an
//! event, also when a handler hides it in an error of its own or goes on without a word. What other work has done (a conflict, a deadlock, a
//! serialization failure) is no attempt: the event is handled again until it meets nobody.

use crate::error::Error;
use crate::handler::Failure;
use crate::handler::reaction::BatchFailure;
use crate::refusals::{self, Held};
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::{Conflict, StoreError};

/// A failure of the store itself says nothing about the event: the whole handler backs off.
pub(crate) fn refuse_store_failures(failure: &Failure) -> Result<(), Error> {
    match store_errors(failure).find(|error| error.is_infrastructure()) {
        Some(error) if !is_on(Sabotage::InfrastructureIsTheEventsFault) => Err(error.clone().into()),
        _ => Ok(()),
    }
}

/// What has come of handlers, with what the store reported meanwhile (`fault`), whether or not they have passed it on.
pub(crate) fn blame(
    reacted: Result<(), BatchFailure>,
    fault: Option<StoreError>,
) -> Result<Result<(), BatchFailure>, Error> {
    if is_on(Sabotage::InfrastructureIsTheEventsFault) {
        return Ok(reacted);
    }
    if let Err(failed) = &reacted {
        refuse_store_failures(&failed.failure)?;
    }
    match (reacted, fault) {
        (_, Some(fault)) if fault.is_infrastructure() => Err(fault.into()),
        // On PostgreSQL the transaction is over, so there is nothing to commit.
        (Ok(()), Some(contention)) => Ok(Err(BatchFailure::somewhere(Failure::transient(contention)))),
        (Err(failed), Some(contention)) if !is_contention(&failed.failure) => {
            Ok(Err(BatchFailure { failure: Failure::transient(contention), ..failed }))
        }
        (reacted, _) => Ok(reacted),
    }
}

/// Whether other work was in the way, so that the same may succeed the next time.
pub(crate) fn is_contention(failure: &Failure) -> bool {
    let conflicts = |error: &(dyn std::error::Error + 'static)| {
        error.is::<Conflict>() || matches!(framework_error(error), Some(Error::Conflict(_)))
    };
    failure.errors().any(conflicts)
        || store_errors(failure).any(|error| matches!(error, StoreError::Contention(_)))
}

/// Whether an error of a commit is that of something which was committed: a rule that is checked at the end, a limit on time.
pub(crate) fn is_of_the_work(error: &StoreError) -> bool {
    let infrastructure = error.is_infrastructure() && !is_on(Sabotage::InfrastructureIsTheEventsFault);
    !infrastructure && !matches!(error, StoreError::Engine(_) | StoreError::Contention(_))
}

fn store_errors(failure: &Failure) -> impl Iterator<Item = &StoreError> {
    failure.errors().filter_map(|error| {
        error.downcast_ref::<StoreError>().or_else(|| match framework_error(error) {
            Some(Error::Store(store)) => Some(store),
            _ => None,
        })
    })
}

/// The framework's own error, also where it is that of a command.
fn framework_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    error.downcast_ref().or_else(|| match refusals::held(error) {
        Some(Held::Failure(error)) => Some(error),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_reports_is_never_the_events_fault_also_where_a_handler_hides_it() {
        let revoked =
            || StoreError::Unavailable { problem: "permission denied".into(), advice: "grant".into() };
        assert!(refuse_store_failures(&Failure::permanent(Error::Store(revoked()))).is_err());
        let hidden = || BatchFailure::at(0, Failure::permanent("it did not work"));
        for reacted in [Ok(()), Err(hidden())] {
            assert!(matches!(
                blame(reacted, Some(revoked())),
                Err(Error::Store(StoreError::Unavailable { .. }))
            ));
        }
        let refused = StoreError::statement("duplicate key", "INSERT");
        assert!(refuse_store_failures(&Failure::transient(refused)).is_ok());
        assert!(matches!(blame(Err(hidden()), None), Ok(Err(BatchFailure { at: Some(0), .. }))));
    }

    #[test]
    fn a_deadlock_is_other_works_also_where_a_handler_hides_it() {
        let deadlock = || StoreError::Contention("deadlock".into());
        assert!(is_contention(&Failure::transient(deadlock())));
        for reacted in [Ok(()), Err(BatchFailure::at(0, Failure::transient("it did not work")))] {
            let failed = blame(reacted, Some(deadlock()));
            assert!(matches!(failed, Ok(Err(failed)) if is_contention(&failed.failure)));
        }
    }
}
