//! Values of a shape: what a build may write, or must be able to read.
//!
//! Invariant: the same choices give the same value, so that a sample in a file stays as it is.

use super::node::{Bound, Field, Node, Reading, Rest, Schema, Written};
use serde_json::{Map, Number, Value, json};

/// How deep a type that contains itself is followed.
const DEPTH_MAX: usize = 4;

/// Whose values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// What may be written.
    Write,
    /// What can be read.
    Read,
}

/// A value of this schema. `choose` is asked which of so many ways to take; the first is always the smallest, the last the fullest.
///
/// ```
/// # use factstream_core as factstream;
/// use factstream_core::schema::{Contract, Schema, sample};
///
/// let lists = Schema::of::<Vec<Option<bool>>>();
/// assert_eq!(sample(&lists, Contract::Write, &mut |_| 0).to_string(), "[]");
/// assert_eq!(sample(&lists, Contract::Write, &mut |ways| ways - 1).to_string(), "[true]");
/// ```
pub fn sample(schema: &Schema, contract: Contract, choose: &mut dyn FnMut(usize) -> usize) -> Value {
    Sampling { schema, contract, choose }.value(&schema.shape, 0)
}

struct Sampling<'a> {
    schema: &'a Schema,
    contract: Contract,
    choose: &'a mut dyn FnMut(usize) -> usize,
}

impl Sampling<'_> {
    /// Whether to take the fuller of two ways.
    fn fuller(&mut self, depth: usize) -> bool {
        depth < DEPTH_MAX && (self.choose)(2) == 1
    }

    fn value(&mut self, node: &Node, depth: usize) -> Value {
        match node {
            Node::Any if self.fuller(depth) => json!({ "any": [1, "JSON", null] }),
            Node::Any | Node::Null => Value::Null,
            Node::Bool => Value::Bool((self.choose)(2) == 1),
            Node::Integer { min, max, nonzero } => self.integer(*min, *max, *nonzero),
            Node::Float { .. } => [json!(0.0), json!(-1.0), json!(0.5)][(self.choose)(3)].clone(),
            Node::String { format } => Value::String(self.text(format.as_deref())),
            Node::Word { written, read, .. } => Value::String(self.word(written, read)),
            Node::Nullable { of } => {
                if self.fuller(depth) {
                    self.value(of, depth)
                } else {
                    Value::Null
                }
            }
            Node::Array { items, min, max } => {
                let more = max.is_none_or(|max| max > *min) && self.fuller(depth);
                let count = min + u64::from(more);
                (0..count).map(|_| self.value(items, depth + 1)).collect()
            }
            Node::Tuple { items } => items.iter().map(|item| self.value(item, depth + 1)).collect(),
            Node::Map { keys, values } => {
                let mut map = Map::new();
                if self.fuller(depth) {
                    let key = match self.value(keys, depth + 1) {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    map.insert(key, self.value(values, depth + 1));
                }
                Value::Object(map)
            }
            Node::Object { fields, rest } => self.object(fields, rest, depth),
            Node::OneOf { of } => {
                let possible: Vec<_> = of
                    .iter()
                    .filter(|variant| match self.contract {
                        Contract::Write => !variant.never_written,
                        Contract::Read => !variant.never_read,
                    })
                    .collect();
                if possible.is_empty() {
                    return Value::Null;
                }
                // Past the limit, the one that ends soonest.
                let chosen = if depth < DEPTH_MAX { (self.choose)(possible.len()) } else { 0 };
                self.value(&possible[chosen].is, depth + 1)
            }
            Node::Ref { .. } => {
                let schema = self.schema;
                if depth > 4 * DEPTH_MAX {
                    return Value::Null;
                }
                self.value(schema.resolve(node), depth + 1)
            }
        }
    }

    fn object(&mut self, fields: &[Field], rest: &Rest, depth: usize) -> Value {
        let mut object = Map::new();
        for field in fields {
            let (certain, possible, is) = match self.contract {
                Contract::Write => {
                    (field.written == Written::Always, field.written != Written::Never, field.value_written())
                }
                Contract::Read => {
                    (field.reading == Reading::Required, field.reading != Reading::Never, &field.is)
                }
            };
            if !possible || !(certain || self.fuller(depth)) {
                continue;
            }
            let keys: Vec<&str> = match self.contract {
                Contract::Write => vec![&field.name],
                Contract::Read => field.keys_read().collect(),
            };
            let key = if keys.len() > 1 { keys[(self.choose)(keys.len())] } else { keys[0] };
            let value = self.value(is, depth + 1);
            object.insert(key.to_owned(), value);
        }
        if let Rest::Kept(values) = rest
            && self.fuller(depth)
        {
            let value = self.value(values, depth + 1);
            object.entry("a key that is data").or_insert(value);
        }
        Value::Object(object)
    }

    fn word(&mut self, written: &str, read: &[String]) -> String {
        match self.contract {
            Contract::Read if read.len() > 1 => read[(self.choose)(read.len())].clone(),
            Contract::Read => read.first().map_or(written, String::as_str).to_owned(),
            Contract::Write => written.to_owned(),
        }
    }

    fn integer(&mut self, min: Bound, max: Bound, nonzero: bool) -> Value {
        let zero = Bound::Natural(0);
        let small = match nonzero {
            true => Bound::Natural(1),
            false if min <= zero && max >= zero => zero,
            false => min,
        };
        let ends = [small, min, max];
        number(ends[(self.choose)(ends.len())])
    }

    fn text(&mut self, format: Option<&str>) -> String {
        let texts: &[&str] = match format {
            None => &["", "ä\"\\\n€", "text"],
            Some("char") => &["a", "€"],
            Some("uuid") => &["00000000-0000-0000-0000-000000000000", "018f4b1c-7c00-7000-8000-000000000001"],
            Some("timestamp") => &["1970-01-01T00:00:00Z", "2026-02-28T23:59:59.999999Z"],
            Some("zoned") => &["1970-01-01T00:00:00+00:00[UTC]"],
            Some("date") => &["1970-01-01", "2026-02-28"],
            Some("time") => &["00:00:00", "23:59:59.5"],
            Some("date-time") => &["1970-01-01T00:00:00", "2026-02-28T23:59:59.5"],
            Some("iso-week-date") => &["1970-W01-4"],
            Some("span") => &["PT0S", "P1M2DT3H"],
            Some("signed-duration") => &["PT0S", "PT36H1.5S"],
            Some("ip" | "ipv4") => &["0.0.0.0", "192.168.1.1"],
            Some("ipv6") => &["::", "fe80::1"],
            Some("socket-address") => &["0.0.0.0:0", "[::1]:8080"],
            Some(_) => &[""],
        };
        texts[(self.choose)(texts.len())].to_owned()
    }
}

/// Whether values of this format can be made up here.
pub(super) fn is_known_format(format: &str) -> bool {
    const KNOWN: [&str; 13] = [
        "char",
        "uuid",
        "timestamp",
        "zoned",
        "date",
        "time",
        "date-time",
        "span",
        "signed-duration",
        "ip",
        "ipv4",
        "ipv6",
        "socket-address",
    ];
    KNOWN.contains(&format)
}

/// As large as JSON of this kind goes; beyond, the nearest.
fn number(bound: Bound) -> Value {
    match bound {
        Bound::Negative(number) => Number::from(i64::try_from(number).unwrap_or(i64::MIN)).into(),
        Bound::Natural(number) => Number::from(u64::try_from(number).unwrap_or(u64::MAX)).into(),
    }
}
