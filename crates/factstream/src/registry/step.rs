//! What a build has to do before it may run a handler, seen the row of that.

use super::Registered;
use super::build::Build;
use crate::processor::HandlerKind;

/// The name of a service that was never given one.
pub(crate) const UNNAMED: &str = "factstream";

/// What stands between a build and a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    None,
    /// Nobody has registered it.
    New,
    /// The service has got a name, or another one.
    Rename,
    /// Another build, division or number of lanes is registered.
    TakeOver {
        rebuild: bool,
    },
    /// It belongs to another service.
    OtherService,
    /// A consumer would become a projection or a process, or the other way round.
    OtherKind,
}

/// What a build has to do, seen the row of its handler.
pub(crate) fn step(found: Option<&Registered>, build: &Build) -> Step {
    let Some(found) = found else { return Step::New };
    let is_process = build.kind == HandlerKind::Process;
    let projects =
        [HandlerKind::ReadModel, HandlerKind::Projection].iter().any(|kind| kind.name() == found.kind);
    let is_other_kind = match build.reads_log && !is_process {
        true => !projects,
        false => found.kind != build.kind.name(),
    };
    if is_other_kind {
        return Step::OtherKind;
    }
    let is_same = found.build == build.id;
    if found.service != build.service {
        let was_ours = found.service == UNNAMED || build.formerly.contains(&found.service);
        return match (was_ours, is_same && build.reads_log && !is_process) {
            (true, _) if is_same => Step::Rename,
            (true, _) => of_build(found, build),
            // Two services may show the same read model, as long as they fold it alike.
            (false, true) => Step::None,
            (false, false) => Step::OtherService,
        };
    }
    of_build(found, build)
}

fn of_build(found: &Registered, build: &Build) -> Step {
    if found.build != build.id {
        return Step::TakeOver {
            rebuild: build.reads_log && found.shape != build.shape && !build.tables.is_empty(),
        };
    }
    match build.reads_log && build.has_lanes && !found.marks_inbox {
        true => Step::TakeOver { rebuild: false },
        false => Step::None,
    }
}
