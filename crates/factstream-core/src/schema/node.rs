//! The shapes themselves. Their serde form stands in lock files and lasts for ever.
//!
//! Invariant: a key is only ever added with a default that means what files without it meant. Unknown keys are refused, so a file of
//! a newer factstream is never half understood.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;

/// What a type's JSON looks like, for writing and for reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The whole.
    pub shape: Node,
    /// The types that contain themselves; [`Node::Ref`] names them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, Node>,
}

/// The shape of one JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Node {
    /// Any JSON.
    Any,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number from `min` to `max`.
    Integer {
        /// The least.
        min: Bound,
        /// The greatest.
        max: Bound,
        /// Whether 0 is excluded.
        #[serde(default, skip_serializing_if = "is_false")]
        nonzero: bool,
    },
    /// A floating-point number of 32 or 64 bits.
    Float {
        /// 32 or 64.
        bits: u8,
    },
    /// A text; with a format, one that its type accepts.
    String {
        /// For example `uuid`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<String>,
    },
    /// One word: the name of a variant.
    Word {
        /// The word as it is written.
        written: String,
        /// The words that are read as this; only the written one when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        read: Vec<String>,
        /// Whether every unknown word is read as this, too.
        #[serde(default, skip_serializing_if = "is_false")]
        other: bool,
    },
    /// `null`, or this.
    Nullable {
        /// What else than `null`.
        of: Box<Node>,
    },
    /// A list of like values.
    Array {
        /// Each of them.
        items: Box<Node>,
        /// The fewest.
        #[serde(default, skip_serializing_if = "is_zero")]
        min: u64,
        /// The most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
    },
    /// A list of exactly these values.
    Tuple {
        /// One after the other.
        items: Vec<Node>,
    },
    /// An object with keys that are data.
    Map {
        /// The keys, as texts.
        keys: Box<Node>,
        /// The values.
        values: Box<Node>,
    },
    /// An object with known fields.
    Object {
        /// The fields, in the order in which they are written.
        fields: Vec<Field>,
        /// What happens to others.
        #[serde(default, skip_serializing_if = "Rest::is_ignored")]
        rest: Rest,
    },
    /// One of these.
    OneOf {
        /// In the order in which they are tried.
        of: Vec<Alternative>,
    },
    /// A type that contains itself.
    Ref {
        /// Its name in [`Schema::types`].
        to: String,
    },
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The key that is written.
    pub name: String,
    /// The keys that are read; only `name` when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// Its value.
    pub is: Node,
    /// When it is written.
    #[serde(default, skip_serializing_if = "Written::is_always")]
    pub written: Written,
    /// Whether it must be there to be read.
    #[serde(default, skip_serializing_if = "Reading::is_required")]
    pub reading: Reading,
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// Every time.
    #[default]
    Always,
    /// Unless it is `null`, so never as `null`.
    UnlessNull,
    /// Sometimes.
    Sometimes,
    /// Never: it is only read.
    Never,
}

/// Whether a field must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// An object without it is refused.
    #[default]
    Required,
    /// It has a default.
    Optional,
    /// It is not read.
    Never,
}

/// What happens to fields that are not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// Passed over.
    #[default]
    Ignored,
    /// The object is refused.
    Denied,
    /// Kept, by a flattened map with such values.
    Kept(Box<Node>),
}

/// One of several shapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// The variant.
    pub name: String,
    /// Its JSON.
    pub is: Node,
    /// Whether it is only read (`serde(skip_serializing)`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub never_written: bool,
    /// Whether it is only written (`serde(skip_deserializing)`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub never_read: bool,
}

/// An end of a range of whole numbers: of what `i128` and `u128` hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Below 0.
    Negative(i128),
    /// 0 or more.
    Natural(u128),
}

impl From<i128> for Bound {
    fn from(number: i128) -> Self {
        u128::try_from(number).map_or(Self::Negative(number), Self::Natural)
    }
}

impl From<u128> for Bound {
    fn from(number: u128) -> Self {
        Self::Natural(number)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative(number) => write!(f, "{number}"),
            Self::Natural(number) => write!(f, "{number}"),
        }
    }
}

/// As text: JSON numbers of this size lose digits in many readers.
impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let natural = text.parse::<u128>().map(Self::Natural);
        natural
            .or_else(|_| text.parse::<i128>().map(Self::from))
            .map_err(|_| de::Error::custom("a bound is a whole number in quotes"))
    }
}

impl Schema {
    /// Only what it says about writing, with the fields in the order of their names: two builds write the same where this is the same.
    pub fn written(&self) -> Self {
        let types = self.types.iter().map(|(name, node)| (name.clone(), node.written())).collect();
        Self { shape: self.shape.written(), types }
    }
}

impl Node {
    fn written(&self) -> Self {
        let boxed = |node: &Self| Box::new(node.written());
        match self {
            Self::Word { written, .. } => {
                Self::Word { written: written.clone(), read: Vec::new(), other: false }
            }
            Self::Nullable { of } => Self::Nullable { of: boxed(of) },
            Self::Array { items, min, max } => Self::Array { items: boxed(items), min: *min, max: *max },
            Self::Tuple { items } => Self::Tuple { items: items.iter().map(Self::written).collect() },
            Self::Map { keys, values } => Self::Map { keys: boxed(keys), values: boxed(values) },
            Self::Object { fields, rest } => {
                let written = fields.iter().filter(|field| field.written != Written::Never);
                let mut fields: Vec<Field> = written.map(Field::as_written).collect();
                fields.sort_by(|one, other| one.name.cmp(&other.name));
                let rest = match rest {
                    Rest::Kept(values) => Rest::Kept(boxed(values)),
                    Rest::Ignored | Rest::Denied => Rest::Ignored,
                };
                Self::Object { fields, rest }
            }
            Self::OneOf { of } => {
                let written = of.iter().filter(|variant| !variant.never_written);
                let as_written = |variant: &Alternative| Alternative {
                    name: variant.name.clone(),
                    is: variant.is.written(),
                    never_written: false,
                    never_read: false,
                };
                Self::OneOf { of: written.map(as_written).collect() }
            }
            Self::Any
            | Self::Null
            | Self::Bool
            | Self::Integer { .. }
            | Self::Float { .. }
            | Self::String { .. }
            | Self::Ref { .. } => self.clone(),
        }
    }

    /// A text of any kind.
    pub fn text() -> Self {
        Self::String { format: None }
    }

    /// A text of this format. Two formats of one name are taken to be one.
    pub fn format(name: impl Into<String>) -> Self {
        Self::String { format: Some(name.into()) }
    }

    /// A whole number in this range.
    pub fn integer(min: impl Into<Bound>, max: impl Into<Bound>) -> Self {
        Self::Integer { min: min.into(), max: max.into(), nonzero: false }
    }

    /// `null`, or this.
    pub fn nullable(of: Self) -> Self {
        match of {
            Self::Any | Self::Null | Self::Nullable { .. } => of,
            of => Self::Nullable { of: Box::new(of) },
        }
    }

    /// A list of any length.
    pub fn list(items: Self) -> Self {
        Self::Array { items: Box::new(items), min: 0, max: None }
    }

    /// An object with keys that are data.
    pub fn map(keys: Self, values: Self) -> Self {
        Self::Map { keys: Box::new(keys), values: Box::new(values) }
    }

    /// What it is, in a word.
    pub fn kind(&self) -> String {
        match self {
            Self::Any => "any JSON".into(),
            Self::Null => "null".into(),
            Self::Bool => "a boolean".into(),
            Self::Integer { min, max, nonzero } => {
                format!("a whole number from {min} to {max}{}", if *nonzero { ", not 0" } else { "" })
            }
            Self::Float { bits } => format!("an f{bits}"),
            Self::String { format: None } => "a text".into(),
            Self::String { format: Some(format) } => format!("a text of the format {format}"),
            Self::Word { written, .. } => format!("the word {written:?}"),
            Self::Nullable { of } => format!("null or {}", of.kind()),
            Self::Array { .. } | Self::Tuple { .. } => "a list".into(),
            Self::Map { .. } => "a map".into(),
            Self::Object { .. } => "an object".into(),
            Self::OneOf { of } => {
                let names: Vec<&str> = of.iter().map(|alternative| alternative.name.as_str()).collect();
                format!("one of {}", names.join(", "))
            }
            Self::Ref { to } => to.clone(),
        }
    }
}

impl Field {
    /// The keys under which it is read.
    pub fn keys_read(&self) -> impl Iterator<Item = &str> {
        let own = self.read.is_empty().then_some(&self.name);
        own.into_iter().chain(&self.read).map(String::as_str).filter(|_| self.reading != Reading::Never)
    }

    fn as_written(&self) -> Self {
        let written = if self.written == Written::Always { Written::Always } else { Written::Sometimes };
        let is = self.value_written().written();
        Self { name: self.name.clone(), read: Vec::new(), is, written, reading: Reading::Required }
    }

    /// What is written.
    pub fn value_written(&self) -> &Node {
        match (&self.is, self.written) {
            (Node::Nullable { of }, Written::UnlessNull) => of,
            (is, _) => is,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
impl Written {
    fn is_always(&self) -> bool {
        *self == Self::Always
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
impl Reading {
    fn is_required(&self) -> bool {
        *self == Self::Required
    }
}

impl Rest {
    fn is_ignored(&self) -> bool {
        *self == Self::Ignored
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(it: &bool) -> bool {
    !it
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(it: &u64) -> bool {
    *it == 0
}
