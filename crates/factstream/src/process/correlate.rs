//! Which instances an event concerns.

use factstream_core::envelope::check_id;

/// Instances that one event may concern.
const INSTANCES_MAX: usize = 1_000;

/// The instances of a process that an event concerns: made by [`Process::correlate`](crate::Process::correlate).
///
/// ```
/// use factstream::{Correlate, Missing};
///
/// let one = Correlate::start("order-1"); // begins the instance, if there is none
/// let two = one.and(Correlate::go_on("customer-7").or(Missing::Skip));
/// let many: Correlate = ["order-1", "order-2"].into_iter().map(Correlate::go_on).collect();
/// # let _ = (two, many, Correlate::none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "an event goes to the instances that `correlate` returns"]
pub struct Correlate {
    targets: Vec<Target>,
}

/// One instance that an event concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) starts: bool,
    pub(super) missing: Missing,
}

/// What becomes of an event that goes on with an instance that was never started. One that has ended is not missing: its later
/// inputs change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missing {
    /// It becomes a dead letter: a correlation that leads nowhere is a mistake.
    #[default]
    DeadLetter,
    /// It is passed over: events of what began before the process was declared, for example.
    Skip,
}

impl Correlate {
    /// The instance with this id. It is started when there is none.
    pub fn start(id: impl Into<String>) -> Self {
        Self::to(id.into(), true)
    }

    /// The instance with this id, which another event has started.
    pub fn go_on(id: impl Into<String>) -> Self {
        Self::to(id.into(), false)
    }

    /// No instance: the event is passed over.
    pub fn none() -> Self {
        Self::default()
    }

    /// What becomes of the event where an instance to go on with is missing; [`Missing::DeadLetter`] unless said.
    pub fn or(mut self, missing: Missing) -> Self {
        self.targets.iter_mut().for_each(|target| target.missing = missing);
        self
    }

    /// These instances and those. An instance that is named twice takes the event once, and is started if one of the two says so.
    pub fn and(mut self, other: Self) -> Self {
        for target in other.targets {
            match self.targets.iter_mut().find(|known| known.id == target.id) {
                Some(known) => known.starts |= target.starts,
                None => self.targets.push(target),
            }
        }
        self
    }

    fn to(id: String, starts: bool) -> Self {
        Self { targets: vec![Target { id, starts, missing: Missing::default() }] }
    }

    /// The instances, where their ids can be used.
    pub(super) fn targets(self) -> Result<Vec<Target>, String> {
        if self.targets.len() > INSTANCES_MAX {
            let found = self.targets.len();
            return Err(format!(
                "it concerns {found} instances; one event can concern {INSTANCES_MAX}: let it begin one process that goes on with \
                 them by commands"
            ));
        }
        for target in &self.targets {
            check_id("process id", &target.id).map_err(|error| error.to_string())?;
        }
        Ok(self.targets)
    }
}

impl FromIterator<Correlate> for Correlate {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        all.into_iter().fold(Self::none(), Self::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_named_twice_is_one_and_started_if_either_says_so() {
        let both =
            Correlate::go_on("a").and(Correlate::start("a")).and(Correlate::go_on("b").or(Missing::Skip));
        let targets = both.targets().unwrap_or_default();
        let seen: Vec<_> =
            targets.iter().map(|target| (&*target.id, target.starts, target.missing)).collect();
        assert_eq!(seen, [("a", true, Missing::DeadLetter), ("b", false, Missing::Skip)]);
    }

    #[test]
    fn ids_that_cannot_be_used_and_too_many_are_refused() {
        assert!(Correlate::start("").targets().is_err_and(|text| text.contains("process id")));
        let many: Correlate = (0..=INSTANCES_MAX).map(|n| Correlate::go_on(n.to_string())).collect();
        assert!(many.targets().is_err_and(|text| text.contains("1001")));
    }
}
