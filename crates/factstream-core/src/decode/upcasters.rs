//! The steps from old schema versions to those that this build knows, and how they are checked at start.

use super::origin::EventOrigin;
use super::{Decoder, KnownType, WiringError};
use crate::content_error::ContentError;
use crate::event::EventType;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why one upcaster could not lift one event.
pub type UpcastFailure = Box<dyn std::error::Error + Send + Sync>;

type Plain = dyn Fn(Value) -> Result<Value, UpcastFailure> + Send + Sync;
type Seeing = dyn Fn(Value, &EventOrigin) -> Result<Value, UpcastFailure> + Send + Sync;

/// One step.
#[derive(Clone)]
pub(super) enum Lift {
    /// By the JSON alone.
    Plain(Arc<Plain>),
    /// With a look at where and when the event was recorded.
    Seeing(Arc<Seeing>),
}

impl Lift {
    /// The event one version further, or why not. A panic is a refusal like any other; its message may quote the event, and stays on
    /// standard error.
    pub(super) fn run<'o>(
        &self,
        event: Value,
        origin: impl FnOnce() -> &'o mut EventOrigin,
    ) -> Result<Value, String> {
        let lifted = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Plain(lift) => lift(event),
            Self::Seeing(lift) => lift(event, origin()),
        }));
        match lifted {
            Ok(lifted) => lifted.map_err(|refusal| reason_of(refusal.as_ref())),
            Err(_) => Err("it panicked; standard error has the panic's message".to_owned()),
        }
    }
}

/// An upcaster's own words; those of serde_json are not, and may quote the event.
fn reason_of(refusal: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    refusal
        .downcast_ref::<serde_json::Error>()
        .map_or_else(|| refusal.to_string(), |error| ContentError::from(error).to_string())
}

/// The steps from old schema versions to those that this build knows.
///
/// A number that an upcaster leaves alone, moves or renames keeps every digit, also where it is larger or finer than the `f64` that
/// the upcaster sees.
///
/// An additive change (a new field with `#[serde(default)]`) needs no new version and no upcaster.
///
/// ```
/// use factstream_core::decode::Upcasters;
/// use serde_json::json;
///
/// // Version 1 had one `name`; version 2 has two fields.
/// let upcasters = Upcasters::new().step("CustomerAdded", 1, 2, |mut event| {
///     let name = event["name"].as_str().unwrap_or_default().to_owned();
///     let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
///     event["first_name"] = json!(first);
///     event["last_name"] = json!(last);
///     Ok(event)
/// });
/// ```
#[derive(Default, Clone)]
pub struct Upcasters {
    steps: Vec<Step>,
    dropped: HashSet<String>,
}

#[derive(Clone)]
struct Step {
    event_type: String,
    from: u32,
    to: u32,
    lift: Lift,
}

impl fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> = self
            .steps
            .iter()
            .map(|step| format!("{} {} -> {}", step.event_type, step.from, step.to))
            .collect();
        f.debug_struct("Upcasters").field("steps", &steps).field("dropped", &self.dropped).finish()
    }
}

impl Upcasters {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the step that lifts `event_type` from version `from` to version `to`, which must be `from + 1`. It is pure: the same JSON
    /// gives the same JSON. It is always given an object; one that refuses or panics makes the event undecodable, and loses nothing.
    ///
    /// The steps are checked together by [`Upcasters::decoder`]. Of an event that was renamed, steps may name it by any of its names.
    pub fn step(
        self,
        event_type: impl Into<String>,
        from: u32,
        to: u32,
        lift: impl Fn(Value) -> Result<Value, UpcastFailure> + Send + Sync + 'static,
    ) -> Self {
        self.with(event_type.into(), from, to, Lift::Plain(Arc::new(lift)))
    }

    /// As [`Upcasters::step`], with a look at where and when the event was recorded.
    ///
    /// ```
    /// use factstream_core::decode::Upcasters;
    /// use serde_json::json;
    ///
    /// // Version 1 did not say when the order was placed: when it was recorded.
    /// let upcasters = Upcasters::new().step_with_origin("OrderCreated", 1, 2, |mut event, origin| {
    ///     event["placed_at"] = json!(origin.timestamp);
    ///     Ok(event)
    /// });
    /// ```
    pub fn step_with_origin(
        self,
        event_type: impl Into<String>,
        from: u32,
        to: u32,
        lift: impl Fn(Value, &EventOrigin) -> Result<Value, UpcastFailure> + Send + Sync + 'static,
    ) -> Self {
        self.with(event_type.into(), from, to, Lift::Seeing(Arc::new(lift)))
    }

    /// Passes over every stored event of this type, in aggregates as in handlers: it means nothing any more, and no code declares it.
    /// The events stay where they are.
    ///
    /// An event whose meaning is still needed to read old streams is kept, with `#[event(retired)]`.
    pub fn drop(mut self, event_type: impl Into<String>) -> Self {
        self.dropped.insert(event_type.into());
        self
    }

    fn with(mut self, event_type: String, from: u32, to: u32, lift: Lift) -> Self {
        self.steps.push(Step { event_type, from, to, lift });
        self
    }

    /// Checks every step against the known types and makes the decoder.
    ///
    /// # Errors
    /// [`WiringError`], which names the type and the versions: a missing step, a cycle, a jump, a duplicate, a step
    /// for a type or version that this build does not know, or one name declared in two ways.
    pub fn decoder<'a>(
        &self,
        known: impl IntoIterator<Item = &'a EventType>,
    ) -> Result<Decoder, WiringError> {
        let known: Vec<&EventType> = known.into_iter().collect();
        let stray = self.steps.iter().find(|step| !known.iter().any(|of| of.is_called(&step.event_type)));
        if let Some(Step { event_type, from, to, .. }) = stray {
            return Err(WiringError::StepForUnknownType {
                event_type: event_type.clone(),
                from: *from,
                to: *to,
            });
        }
        if let Some(of) = known.iter().find(|of| of.names().any(|name| self.dropped.contains(name))) {
            return Err(WiringError::DroppedAndDeclared {
                event_type: of.name.to_owned(),
                declared_by: of.declared_by.to_owned(),
            });
        }
        self.chain(known_types(&known)?)
    }

    /// As [`Upcasters::decoder`], for one set of an application's types: steps for other types are left aside.
    ///
    /// # Errors
    /// As [`Upcasters::decoder`], and when two enums of the set name one event: the second would never be given it.
    pub fn decoder_of<'a>(
        &self,
        known: impl IntoIterator<Item = &'a EventType>,
    ) -> Result<Decoder, WiringError> {
        let known: Vec<&EventType> = known.into_iter().collect();
        refuse_twins(&known)?;
        self.chain(known_types(&known)?)
    }

    /// All steps of both. Two that begin at one version are refused by [`Upcasters::decoder`].
    pub fn and(mut self, others: Self) -> Self {
        self.steps.extend(others.steps);
        self.dropped.extend(others.dropped);
        self
    }

    fn chain(&self, known: BTreeMap<&'static str, KnownType>) -> Result<Decoder, WiringError> {
        let mut types = HashMap::new();
        for (name, mut known) in known {
            let is_own =
                |step: &&Step| step.event_type == name || known.was.contains(&step.event_type.as_str());
            let steps: Vec<&Step> = self.steps.iter().filter(is_own).collect();
            for step in &steps {
                step.check(&known)?;
            }
            for from in known.since..known.version {
                let mut matching = steps.iter().filter(|step| step.from == from);
                let step = matching.next().ok_or_else(|| WiringError::MissingStep {
                    event_type: name.to_owned(),
                    from,
                    to: from + 1,
                    version: known.version,
                })?;
                if matching.next().is_some() {
                    return Err(WiringError::DuplicateStep {
                        event_type: name.to_owned(),
                        from,
                        to: step.to,
                    });
                }
                known.steps.push(step.lift.clone());
            }
            let known = Arc::new(known);
            let names = known.was.iter().copied().chain([name]);
            types.extend(names.map(|name| (name.to_owned(), Arc::clone(&known))));
        }
        Ok(Decoder { types, dropped: self.dropped.clone() })
    }
}

/// Of two enums in one set that name one event, only the first would ever be asked.
fn refuse_twins(set: &[&EventType]) -> Result<(), WiringError> {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for EventType { name, declared_by, .. } in set {
        if let Some(first) = seen.insert(name, declared_by) {
            return Err(WiringError::TwiceInSet {
                event_type: (*name).to_owned(),
                one: first.to_owned(),
                other: (*declared_by).to_owned(),
            });
        }
    }
    Ok(())
}

/// The declared types by name; two declarations of one name must agree, and nobody goes on declaring a former name. Of several faults
/// the first in the order of the declarations is told.
fn known_types(declared: &[&EventType]) -> Result<BTreeMap<&'static str, KnownType>, WiringError> {
    let mut types: BTreeMap<&str, KnownType> = BTreeMap::new();
    let mut firsts: HashMap<&str, &EventType> = HashMap::new();
    for event_type in declared {
        let EventType { name, version, topic, was, .. } = **event_type;
        let first = *firsts.entry(name).or_insert(event_type);
        if topic != first.topic {
            let show = |topic: Option<&str>| topic.unwrap_or("private").to_owned();
            let (one, other) = (show(first.topic), show(topic));
            return Err(WiringError::TwoTopics { event_type: name.to_owned(), one, other });
        }
        if version != first.version {
            let (one, other) = (first.version, version);
            return Err(WiringError::TwoVersions { event_type: name.to_owned(), one, other });
        }
        if was.iter().collect::<HashSet<_>>() != first.was.iter().collect() {
            let (one, other) = (first.declared_by.to_owned(), event_type.declared_by.to_owned());
            return Err(WiringError::TwoHistories { event_type: name.to_owned(), one, other });
        }
        let new = KnownType {
            name,
            version,
            since: event_type.since,
            was,
            former_name: event_type.former_name(),
            steps: Vec::new(),
        };
        let known = types.entry(name).or_insert(new);
        known.since = known.since.min(event_type.since);
    }
    for (now, former) in declared.iter().flat_map(|of| of.was.iter().map(move |former| (of, former))) {
        let other = declared.iter().find(|other| other.name != now.name && other.is_called(former));
        if let Some(other) = other {
            return Err(WiringError::FormerName {
                event_type: (*former).to_owned(),
                now: now.name.to_owned(),
                declared_by: other.declared_by.to_owned(),
            });
        }
    }
    Ok(types)
}

impl Step {
    fn check(&self, known: &KnownType) -> Result<(), WiringError> {
        let Self { event_type, from, to, .. } = self;
        let (event_type, from, to) = (event_type.clone(), *from, *to);
        if to <= from {
            return Err(WiringError::Cycle { event_type, from, to });
        }
        if to != from + 1 {
            return Err(WiringError::Jump { event_type, from, to });
        }
        if from < known.since || to > known.version {
            let (since, version) = (known.since, known.version);
            return Err(WiringError::StepOutOfRange { event_type, from, to, since, version });
        }
        Ok(())
    }
}
