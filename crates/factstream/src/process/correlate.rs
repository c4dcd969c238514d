//! Which instances an event concerns.

use super::alias::Alias;
use crate::processor::unit;
use factstream_core::envelope::check_id;
use std::collections::BTreeSet;

/// Instances that one event may concern.
const INSTANCES_MAX: usize = 1_000;

/// The instances of a process that an event concerns: made by [`Process::correlate`](crate::Process::correlate).
///
/// ```
/// use factstream::{Correlate, Missing};
///
/// let one = Correlate::start("order-1"); // begins the instance, if there is none
/// let two = one.and(Correlate::go_on("customer-7").or(Missing::Skip));
/// let paid = Correlate::go_on_by("payment", "p-7"); // the instance that has this alias
/// let many: Correlate = ["order-1", "order-2"].into_iter().map(Correlate::go_on).collect();
/// # let _ = (two, paid, many, Correlate::none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "an event goes to the instances that `correlate` returns"]
pub struct Correlate {
    targets: Vec<Target>,
}

/// One instance that an event concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) to: To,
    pub(super) starts: bool,
    pub(super) missing: Missing,
}

impl Target {
    /// Whether it is the instance with this id and these aliases.
    pub(crate) fn is(&self, id: &str, aliases: &BTreeSet<Alias>) -> bool {
        match &self.to {
            To::Id(named) => named == id,
            To::Alias(alias, _) => aliases.contains(alias),
        }
    }

    /// Whether the event waits where nobody has the alias that it comes by.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.to, To::Alias(..)) && self.missing == Missing::DeadLetter
    }

    /// Whether it may be passed over.
    pub(crate) fn may_miss(&self) -> bool {
        self.missing == Missing::Skip
    }

    pub(crate) fn starts(&self) -> bool {
        self.starts
    }
}

/// How an instance is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    Id(String),
    /// With its key, under which what comes by it waits.
    Alias(Alias, String),
}

impl To {
    fn alias(name: String, value: String) -> Self {
        let alias = Alias { name, value };
        let key = alias.key();
        Self::Alias(alias, key)
    }

    /// In whose order the event is handled, as far as it says itself.
    pub(super) fn key(&self) -> &str {
        let (Self::Id(key) | Self::Alias(_, key)) = self;
        key
    }

    /// As people know it.
    pub(crate) fn shown(&self) -> &str {
        unit::alias_of(self.key()).unwrap_or(self.key())
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::Id(id) => check_id("process id", id).map_err(|error| error.to_string()),
            Self::Alias(alias, _) => alias.check(),
        }
    }
}

/// What becomes of an event that goes on with an instance that was never started, or by an alias that no instance has. One that has ended
/// is not missing: its later inputs change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missing {
    /// It becomes a dead letter: a correlation that leads nowhere is a mistake. By an alias it is one until an instance is given the alias,
    /// and then an input of that.
    #[default]
    DeadLetter,
    /// It is passed over: events of what began before the process was declared, for example. By an alias it is so, too, while the input
    /// that would give the alias waits after a failure.
    Skip,
}

impl Correlate {
    /// The instance with this id. It is started when there is none.
    pub fn start(id: impl Into<String>) -> Self {
        Self::to(To::Id(id.into()), true)
    }

    /// The instance with this id, which another event has started.
    pub fn go_on(id: impl Into<String>) -> Self {
        Self::to(To::Id(id.into()), false)
    }

    /// The instance that was given this alias by [`Acts::alias`](crate::Acts::alias).
    pub fn go_on_by(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::to(To::alias(name.into(), value.into()), false)
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
            match self.targets.iter_mut().find(|known| known.to == target.to) {
                Some(known) => known.starts |= target.starts,
                None => self.targets.push(target),
            }
        }
        self
    }

    fn to(to: To, starts: bool) -> Self {
        Self { targets: vec![Target { to, starts, missing: Missing::default() }] }
    }

    /// The instances, where their ids and aliases can be used.
    pub(super) fn targets(self) -> Result<Vec<Target>, String> {
        if self.targets.len() > INSTANCES_MAX {
            let found = self.targets.len();
            return Err(format!(
                "it concerns {found} instances; one event can concern {INSTANCES_MAX}: let it begin one process that goes on with \
                 them by commands"
            ));
        }
        for target in &self.targets {
            target.to.check()?;
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
        let by_alias = Correlate::go_on_by("a", "b").and(Correlate::go_on_by("a", "b"));
        assert_eq!(by_alias.targets().unwrap_or_default().len(), 1);
        let both =
            Correlate::go_on("a").and(Correlate::start("a")).and(Correlate::go_on("b").or(Missing::Skip));
        let targets = both.targets().unwrap_or_default();
        let seen: Vec<_> =
            targets.iter().map(|target| (target.to.shown(), target.starts, target.missing)).collect();
        assert_eq!(seen, [("a", true, Missing::DeadLetter), ("b", false, Missing::Skip)]);
    }

    #[test]
    fn ids_that_cannot_be_used_and_too_many_are_refused() {
        assert!(Correlate::start("").targets().is_err_and(|text| text.contains("process id")));
        for (name, value, wanted) in
            [("", "v", "name"), ("n", "", "alias"), ("a=b", "v", "give it another"), ("n", "a\nb", "alias")]
        {
            let refused = Correlate::go_on_by(name, value).targets();
            assert!(refused.is_err_and(|text| text.contains(wanted)), "{name:?} {value:?}");
        }
        let many: Correlate = (0..=INSTANCES_MAX).map(|n| Correlate::go_on(n.to_string())).collect();
        assert!(many.targets().is_err_and(|text| text.contains("1001")));
    }
}
