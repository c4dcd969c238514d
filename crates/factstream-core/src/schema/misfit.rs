//! What one contract may write and another cannot read.

use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Readers may be surprised.
    Warn,
    /// Some values cannot be read.
    Break,
}

/// The kind of a misfit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mismatch {
    /// A field that the reader needs is never written.
    FieldMissing,
    /// A field that the reader needs is not always written.
    FieldSometimesMissing,
    /// A field that the reader refuses, for it denies unknown ones.
    FieldDenied,
    /// One field of the reader is written under two of its names.
    FieldTwice,
    /// Another kind of value.
    TypeChanged,
    /// A number outside the reader's range.
    NumberTooLarge,
    /// A text of another format.
    FormatChanged,
    /// A variant that the reader does not know.
    VariantUnknown,
    /// `null`, which the reader does not take.
    NullRefused,
    /// A list of another length.
    LengthChanged,
    /// Keys that are data may be taken for one of the reader's fields.
    KeysAreData,
}

impl Mismatch {
    /// Its name in waivers and reports.
    pub fn code(self) -> &'static str {
        match self {
            Self::FieldMissing => "field-missing",
            Self::FieldSometimesMissing => "field-sometimes-missing",
            Self::FieldDenied => "field-denied",
            Self::FieldTwice => "field-twice",
            Self::TypeChanged => "type-changed",
            Self::NumberTooLarge => "number-too-large",
            Self::FormatChanged => "format-changed",
            Self::VariantUnknown => "variant-unknown",
            Self::NullRefused => "null-refused",
            Self::LengthChanged => "length-changed",
            Self::KeysAreData => "keys-are-data",
        }
    }
}

/// One place where what is written does not fit what is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Misfit {
    /// Where, for example `items[].price_cents`; empty for the whole.
    pub path: String,
    /// What kind.
    pub mismatch: Mismatch,
    /// How bad it is.
    pub level: Level,
    /// What differs, in words.
    pub text: String,
}

impl Misfit {
    pub(super) fn new(path: &str, mismatch: Mismatch, level: Level, text: String) -> Self {
        Self { path: path.to_owned(), mismatch, level, text }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.text),
            path => write!(f, "{path}: {}", self.text),
        }
    }
}
