//! Stored JSON to typed events: the one place where events are decoded, and where old schema versions are lifted.
//!
//! Invariants: upcasters go one step (version n to n+1) at a time, JSON to JSON; the chain of every known type is
//! checked when the application starts ([`Upcasters::decoder`]), so a missing step is found before the first event.

mod errors;

pub use crate::content_error::{ContentError, read_json};
use crate::digits::{Spellings, has_reals};
use crate::event::{EventSet, EventType};
pub use errors::{DecodeError, WiringError};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Why one upcaster could not lift one event.
pub type UpcastFailure = Box<dyn std::error::Error + Send + Sync>;

type Lift = Arc<dyn Fn(Value) -> Result<Value, UpcastFailure> + Send + Sync>;

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
}

#[derive(Clone)]
struct Step {
    event_type: String,
    from: u32,
    to: u32,
    lift: Lift,
}

impl Upcasters {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the step that lifts `event_type` from version `from` to version `to`, which must be `from + 1`.
    ///
    /// The steps are checked together by [`Upcasters::decoder`].
    pub fn step(
        mut self,
        event_type: impl Into<String>,
        from: u32,
        to: u32,
        lift: impl Fn(Value) -> Result<Value, UpcastFailure> + Send + Sync + 'static,
    ) -> Self {
        self.steps.push(Step { event_type: event_type.into(), from, to, lift: Arc::new(lift) });
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
        let types = known_types(known)?;
        let stray = self.steps.iter().find(|step| !types.contains_key(&step.event_type));
        if let Some(Step { event_type, from, to, .. }) = stray {
            return Err(WiringError::StepForUnknownType {
                event_type: event_type.clone(),
                from: *from,
                to: *to,
            });
        }
        self.chain(types)
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
        self.chain(known_types(known)?)
    }

    /// All steps of both. Two that begin at one version are refused by [`Upcasters::decoder`].
    pub fn and(mut self, others: Self) -> Self {
        self.steps.extend(others.steps);
        self
    }

    fn chain(&self, mut types: HashMap<String, KnownType>) -> Result<Decoder, WiringError> {
        for (name, known) in &mut types {
            let steps: Vec<&Step> = self.steps.iter().filter(|step| step.event_type == *name).collect();
            for step in &steps {
                step.check(known)?;
            }
            for from in known.since..known.version {
                let mut matching = steps.iter().filter(|step| step.from == from);
                let step = matching.next().ok_or_else(|| WiringError::MissingStep {
                    event_type: name.clone(),
                    from,
                    to: from + 1,
                    version: known.version,
                })?;
                if matching.next().is_some() {
                    return Err(WiringError::DuplicateStep { event_type: name.clone(), from, to: step.to });
                }
                known.steps.push(step.lift.clone());
            }
        }
        Ok(Decoder { types })
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

/// The declared types by name; two declarations of one name must agree.
fn known_types<'a>(
    declared: impl IntoIterator<Item = &'a EventType>,
) -> Result<HashMap<String, KnownType>, WiringError> {
    let mut types: HashMap<String, KnownType> = HashMap::new();
    let mut topics: HashMap<&str, Option<&str>> = HashMap::new();
    for event_type in declared {
        let name = event_type.name;
        let topic = *topics.entry(name).or_insert(event_type.topic);
        if topic != event_type.topic {
            let show = |topic: Option<&str>| topic.unwrap_or("private").to_owned();
            let (one, other) = (show(topic), show(event_type.topic));
            return Err(WiringError::TwoTopics { event_type: name.to_owned(), one, other });
        }
        let new = KnownType {
            version: event_type.version,
            since: event_type.since,
            former_name: event_type.former_name(),
            steps: Vec::new(),
        };
        let known = types.entry(name.to_owned()).or_insert(new);
        if known.version != event_type.version {
            let (one, other) = (known.version, event_type.version);
            return Err(WiringError::TwoVersions { event_type: name.to_owned(), one, other });
        }
        known.since = known.since.min(event_type.since);
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

/// Decodes events of every known type, whatever schema version they were written in.
#[derive(Clone)]
pub struct Decoder {
    types: HashMap<String, KnownType>,
}

#[derive(Clone)]
struct KnownType {
    version: u32,
    since: u32,
    former_name: Option<&'static str>,
    steps: Vec<Lift>,
}

impl Decoder {
    /// The event, lifted to the current schema version.
    ///
    /// # Errors
    /// [`DecodeError`]; the caller keeps the bytes, nothing is lost (G12).
    pub fn decode<S: EventSet>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &str,
    ) -> Result<S, DecodeError> {
        let lifted = self.lift(event_type, schema_version, json)?;
        match S::decode(event_type, &lifted) {
            Some(decoded) => decoded.map_err(|reason| DecodeError::Content {
                event_type: event_type.to_owned(),
                schema_version,
                reason,
            }),
            None => Err(DecodeError::UnknownType { event_type: event_type.to_owned() }),
        }
    }

    fn unknown(&self, event_type: &str) -> DecodeError {
        let event_type = event_type.to_owned();
        let renamed = self.types.iter().find(|(_, known)| known.former_name == Some(&event_type));
        match renamed {
            Some((now, _)) => DecodeError::Renamed { event_type, now: now.clone() },
            None => DecodeError::UnknownType { event_type },
        }
    }

    /// The JSON of the current schema version.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn lift<'j>(
        &self,
        event_type: &str,
        schema_version: u32,
        json: &'j str,
    ) -> Result<Cow<'j, str>, DecodeError> {
        let Some(known) = self.types.get(event_type) else { return Err(self.unknown(event_type)) };
        if schema_version == known.version {
            return Ok(Cow::Borrowed(json));
        }
        if schema_version > known.version || schema_version < known.since {
            return Err(DecodeError::UnknownVersion {
                event_type: event_type.to_owned(),
                schema_version,
                since: known.since,
                version: known.version,
            });
        }
        let content = |error: serde_json::Error| DecodeError::Content {
            event_type: event_type.to_owned(),
            schema_version,
            reason: error.into(),
        };
        let mut value: Value = serde_json::from_str(json).map_err(content)?;
        let first = (schema_version - known.since) as usize;
        for (from, lift) in (schema_version..).zip(&known.steps[first..]) {
            value = lift(value).map_err(|refusal| DecodeError::Upcast {
                event_type: event_type.to_owned(),
                from,
                to: from + 1,
                reason: reason_of(refusal.as_ref()),
            })?;
        }
        let written = match has_reals(&value) {
            true => Spellings::of(json).write(&value),
            false => serde_json::to_string(&value),
        };
        written.map(Cow::Owned).map_err(content)
    }
}

/// An upcaster's own words; those of serde_json are not, and may quote the event.
fn reason_of(refusal: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    refusal
        .downcast_ref::<serde_json::Error>()
        .map_or_else(|| refusal.to_string(), |error| ContentError::from(error).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate as factstream;
    use factstream_macros::Event;
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use serde_json::value::RawValue;

    #[derive(Debug, PartialEq, Event, Serialize, Deserialize)]
    enum Customer {
        #[event(name = "CustomerAdded", version = 3)]
        Added { first: String, last: String, country: String },
    }

    fn split_name(mut event: Value) -> Result<Value, UpcastFailure> {
        let name = event["name"].as_str().ok_or("no name")?.to_owned();
        let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
        event["first"] = json!(first);
        event["last"] = json!(last);
        Ok(event)
    }

    #[expect(clippy::unnecessary_wraps, reason = "an upcaster may fail")]
    fn add_country(mut event: Value) -> Result<Value, UpcastFailure> {
        event["country"] = json!("AT");
        Ok(event)
    }

    fn both() -> Upcasters {
        Upcasters::new().step("CustomerAdded", 1, 2, split_name).step("CustomerAdded", 2, 3, add_country)
    }

    fn refused(upcasters: &Upcasters) -> String {
        upcasters.decoder(Customer::event_types()).err().expect("refused").to_string()
    }

    #[test]
    fn old_versions_are_lifted_one_step_at_a_time() {
        let decoder = both().decoder(Customer::event_types()).unwrap();
        let wanted = Customer::Added { first: "Ada".into(), last: "Byron".into(), country: "AT".into() };
        let from_1: Customer = decoder.decode("CustomerAdded", 1, r#"{"name":"Ada Byron"}"#).unwrap();
        let from_2: Customer =
            decoder.decode("CustomerAdded", 2, r#"{"first":"Ada","last":"Byron"}"#).unwrap();
        let from_3: Customer =
            decoder.decode("CustomerAdded", 3, r#"{"first":"Ada","last":"Byron","country":"AT"}"#).unwrap();
        assert_eq!((&from_1, &from_2, &from_3), (&wanted, &wanted, &wanted));
    }

    #[test]
    fn an_upcaster_keeps_the_digits_of_what_it_moves() {
        #[derive(Debug, Event, Serialize, Deserialize)]
        enum Meter {
            #[event(name = "MeterRead", version = 2)]
            Read { value: u128, exact: Box<RawValue>, limit: u64 },
        }

        let upcasters = Upcasters::new().step("MeterRead", 1, 2, |mut event| {
            event["exact"] = event["fine"].take();
            event["value"] = event["large"].take();
            Ok(event)
        });
        let decoder = upcasters.decoder(Meter::event_types()).unwrap();
        let json = r#"{"large":340282366920938463463374607431768211455,"fine":0.12345678901234567890123,"limit":18446744073709551615}"#;
        let Meter::Read { value, exact, limit } = decoder.decode("MeterRead", 1, json).unwrap();
        assert_eq!((value, exact.get(), limit), (u128::MAX, "0.12345678901234567890123", u64::MAX));
    }

    #[test]
    fn a_missing_step_a_cycle_a_jump_and_a_duplicate_are_refused_by_name() {
        let missing = refused(&Upcasters::new().step("CustomerAdded", 1, 2, split_name));
        assert!(missing.contains("CustomerAdded") && missing.contains("from version 2 to 3"), "{missing}");
        let cycle = refused(&both().step("CustomerAdded", 2, 1, Ok));
        assert!(cycle.contains("from version 2 to 1 makes a cycle"), "{cycle}");
        let jump = refused(&both().step("CustomerAdded", 1, 3, Ok));
        assert!(jump.contains("jumps from version 1 to 3"), "{jump}");
        let duplicate = refused(&both().step("CustomerAdded", 1, 2, Ok));
        assert!(duplicate.contains("two upcasters from version 1 to 2"), "{duplicate}");
        let unknown = refused(&both().step("CustomerAded", 1, 2, Ok));
        assert!(unknown.contains("CustomerAded"), "{unknown}");
        let beyond = refused(&both().step("CustomerAdded", 3, 4, Ok));
        assert!(beyond.contains("outside its declared versions 1 to 3"), "{beyond}");
    }

    #[test]
    fn what_cannot_be_decoded_says_why() {
        let decoder = both().decoder(Customer::event_types()).unwrap();
        let decode = |name: &str, version, json: &str| {
            decoder.decode::<Customer>(name, version, json).expect_err("undecodable").to_string()
        };
        assert!(decode("CustomerLost", 1, "{}").contains("does not know the event type \"CustomerLost\""));
        assert!(decode("CustomerAdded", 4, "{}").contains("versions 1 to 3, not 4"));
        assert!(decode("CustomerAdded", 1, "{}").contains("from version 1 to 2 failed: no name"));
        assert!(decode("CustomerAdded", 3, "{").contains("does not fit its type"));
    }

    #[test]
    fn two_declarations_of_one_name_must_agree() {
        let other = EventType::new("CustomerAdded").at_version(2);
        let types = Customer::event_types().into_iter().chain([&other]);
        let error = both().decoder(types).err().expect("refused");
        assert!(matches!(error, WiringError::TwoVersions { one: 3, other: 2, .. }));
    }
}
