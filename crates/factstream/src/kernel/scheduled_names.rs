//! Under which names commands are scheduled: what their types are called in the store.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

/// The names of types of aggregate and command.
#[derive(Debug, Default, Clone)]
pub(crate) struct ScheduledNames {
    by_type: HashMap<(TypeId, TypeId), Arc<str>>,
}

impl ScheduledNames {
    /// Names a command; gives the name that it has already.
    pub(crate) fn insert<A: 'static, C: 'static>(&mut self, name: &str) -> Option<Arc<str>> {
        self.by_type.insert((TypeId::of::<A>(), TypeId::of::<C>()), name.into())
    }

    /// The name of a command.
    pub(crate) fn of<A: 'static, C: 'static>(&self) -> Option<Arc<str>> {
        self.by_type.get(&(TypeId::of::<A>(), TypeId::of::<C>())).cloned()
    }
}
