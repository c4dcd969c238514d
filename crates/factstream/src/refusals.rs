//! What an [`ExecuteError`] holds, where its type is hidden behind `dyn Error`: so that `?` on a refusal in a handler is a permanent
//! failure, and the store's error in it is known as that.
//!
//! The error of a command is generic, so it cannot be looked for by its type alone. Whoever makes one registers its type first: a process
//! has few of them.

use crate::error::{Error, ExecuteError};
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// What an error of a command comes down to.
pub(crate) enum Held<'a> {
    /// The aggregate refuses it.
    Refusal,
    /// The framework could not carry it out.
    Failure(&'a Error),
}

type Look = for<'a> fn(&'a (dyn std::error::Error + 'static)) -> Option<Held<'a>>;

static LOOKS: RwLock<Option<HashMap<TypeId, Look>>> = RwLock::new(None);

/// From now on errors of this type are known.
pub(crate) fn register<E: std::error::Error + 'static>() {
    let known = |looks: &Option<HashMap<TypeId, Look>>| {
        looks.as_ref().is_some_and(|looks| looks.contains_key(&TypeId::of::<E>()))
    };
    if known(&LOOKS.read().unwrap_or_else(PoisonError::into_inner)) {
        return;
    }
    let mut looks = LOOKS.write().unwrap_or_else(PoisonError::into_inner);
    looks.get_or_insert_default().insert(TypeId::of::<E>(), look::<E>);
}

fn look<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<Held<'a>> {
    Some(match error.downcast_ref::<ExecuteError<E>>()? {
        ExecuteError::Rejected(_) => Held::Refusal,
        ExecuteError::Failed(error) => Held::Failure(error),
    })
}

/// What this error holds, if it is a command's.
pub(crate) fn held<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<Held<'a>> {
    let looks = LOOKS.read().unwrap_or_else(PoisonError::into_inner);
    looks.as_ref()?.values().find_map(|look| look(error))
}
