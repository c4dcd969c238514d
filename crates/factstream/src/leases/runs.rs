//! What the processes say that they run.

use std::collections::BTreeMap;

/// What a process says that it runs: of each handler, the build, and whether it has several lanes.
pub(crate) type Builds = BTreeMap<String, String>;

/// What is added to a build that has several lanes, which are not a part of its digest.
pub(crate) const LANES: &str = " lanes";

/// What a process has to run to work on a handler as it is registered; who runs another build stands by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    pub(crate) handler: String,
    pub(crate) build: String,
    /// Where events are not marked in the inbox, who has several lanes stands by, too.
    pub(crate) marks_inbox: bool,
}

impl Runs {
    /// Whether a process that says so works on the handler.
    pub(crate) fn is_told_by(&self, builds: &Builds) -> bool {
        builds.get(&self.handler).is_some_and(|told| match told.strip_suffix(LANES) {
            Some(build) => self.marks_inbox && build == self.build,
            None => *told == self.build,
        })
    }
}
