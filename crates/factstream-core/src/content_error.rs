//! Why JSON does not fit a type, without quoting what is in it: the content of an event may be personal data, and reasons stand in
//! letters, logs and answers of HTTP.
//!
//! Invariant: of serde's words only those are passed on that come from the type. What a type says in words of its own is not.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::fmt;

/// Why JSON does not fit a type: where, and what was expected. It never quotes the content.
///
/// ```
/// use factstream_core::decode::ContentError;
///
/// let error = serde_json::from_str::<u32>("\"Jane Doe\"").unwrap_err();
/// let shown = ContentError::from(error).to_string();
/// assert_eq!(shown, "invalid type: string, expected u32 (line 1, column 10)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentError {
    path: String,
    what: String,
    line: usize,
    column: usize,
}

impl ContentError {
    /// The field that does not fit, such as `items[2].quantity`; empty for the whole, or where it is not known.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same at a place that is known, as `serde_path_to_error` writes it.
    pub(crate) fn at(mut self, path: &serde_path_to_error::Path) -> Self {
        let segments = path.iter().filter_map(shown);
        let path =
            segments.fold(String::new(), |path, segment| match path.is_empty() || segment.starts_with('[') {
                true => path + &segment,
                false => format!("{path}.{segment}"),
            });
        self.path = path;
        self
    }
}

/// A value of a type that does not name its events, from JSON.
///
/// # Errors
/// [`ContentError`], with the place.
pub fn read_json<T: DeserializeOwned>(json: &str) -> Result<T, ContentError> {
    serde_json::from_str(json).map_err(|error| {
        let mut content = serde_json::Deserializer::from_str(json);
        match serde_path_to_error::deserialize::<_, T>(&mut content) {
            Err(placed) => ContentError::from(placed.inner()).at(placed.path()),
            Ok(_) => error.into(), // something stands behind it
        }
    })
}

/// A part of a path. A key of a map is content, too: only what looks like a field is shown.
fn shown(segment: &serde_path_to_error::Segment) -> Option<String> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(format!("[{index}]")),
        Segment::Map { key } => {
            let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
            let looks_like_a_field =
                key.len() <= 64 && key.chars().all(is_word) && !key.starts_with(char::is_numeric);
            Some(if looks_like_a_field { key.clone() } else { "?".to_owned() })
        }
        // The event's own variant is known by its number.
        Segment::Enum { variant } => {
            Some(variant.clone()).filter(|variant| !variant.chars().all(char::is_numeric))
        }
        Segment::Unknown => None,
    }
}

impl From<serde_json::Error> for ContentError {
    fn from(error: serde_json::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&serde_json::Error> for ContentError {
    fn from(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let text = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        let what = match error.classify() {
            Category::Data => {
                without_content(text).unwrap_or_else(|| "its type refuses it, in words of its own".to_owned())
            }
            Category::Io | Category::Syntax | Category::Eof => text.to_owned(),
        };
        Self { path: String::new(), what, line, column }
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        match self.line {
            0 => Ok(()),
            line => write!(f, " (line {line}, column {})", self.column),
        }
    }
}

impl std::error::Error for ContentError {}

/// What serde says of a value that does not fit, without the value; `None` for words that are not serde's own.
fn without_content(text: &str) -> Option<String> {
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = text.strip_prefix(kind) {
            let (found, expected) = found_and_expected(rest)?;
            return Some(format!("{kind}{found}, expected {expected}"));
        }
    }
    for kind in ["unknown variant", "unknown field"] {
        if let Some(rest) = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(" `")) {
            let at = rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are no "))?;
            return Some(format!("{kind}{}", &rest[at + 1..]));
        }
    }
    let is_of_the_type =
        ["invalid length ", "missing field `", "duplicate field `"].iter().any(|kind| text.starts_with(kind))
            || text.starts_with("data did not match any variant of untagged enum ")
            || text.starts_with("no variant of enum ");
    is_of_the_type.then(|| text.to_owned())
}

/// The kind of what was found, and what was expected.
fn found_and_expected(text: &str) -> Option<(&str, &str)> {
    const QUOTED: [&str; 5] = ["string", "character", "boolean", "integer", "floating point"];
    for kind in QUOTED {
        let Some(value) = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' ')) else { continue };
        let end = match kind {
            "string" => end_of_quoted(value)?,
            "character" => 2 + value.chars().nth(1)?.len_utf8(),
            _ => 2 + value.get(1..)?.find('`')?,
        };
        return Some((kind, value.get(end..)?.strip_prefix(", expected ")?));
    }
    let (found, expected) = text.split_once(", expected ")?;
    let is_plain = found.chars().all(|sign| sign.is_alphabetic() || sign == ' ');
    is_plain.then_some((found, expected))
}

/// Behind a text in quotes, as `Debug` writes it.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut is_escaped = true; // the quote that begins it
    for (at, sign) in text.char_indices() {
        match sign {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Person {
        age: u8,
        #[serde(default)]
        letter: Option<char>,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        id: Option<uuid::Uuid>,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {
        Near,
        Far,
    }

    fn shown<T: DeserializeOwned + fmt::Debug>(json: &str) -> String {
        ContentError::from(serde_json::from_str::<T>(json).unwrap_err()).to_string()
    }

    #[test]
    fn it_says_what_was_expected_and_where_and_quotes_nothing() {
        let person = shown::<Person>;
        assert_eq!(person(r#"{"age":"forty"}"#), "invalid type: string, expected u8 (line 1, column 14)");
        assert_eq!(person(r#"{"age":4711}"#), "invalid value: integer, expected u8 (line 1, column 11)");
        assert_eq!(person(r#"{"age":1.5}"#), "invalid type: floating point, expected u8 (line 1, column 10)");
        assert_eq!(person(r#"{"age":true}"#), "invalid type: boolean, expected u8 (line 1, column 11)");
        assert_eq!(person(r#"{"age":null}"#), "invalid type: null, expected u8 (line 1, column 11)");
        assert!(person(r#"{"age":[]}"#).starts_with("invalid type: sequence, expected u8 ("));
        assert!(person("{}").starts_with("missing field `age` ("));
        assert!(
            person(r#"{"age":1,"kind":"Secret`, expected "}"#)
                .starts_with("unknown variant, expected `Near` or `Far`")
        );
        assert!(person(r#"{"age":1,"secret":1}"#).starts_with("unknown field, expected one of `age`"));
        let own = person(r#"{"age":1,"id":"secret"}"#);
        assert!(!own.contains("secret"), "{own}");
        assert!(person("{").starts_with("EOF while parsing"));
    }

    proptest! {
        #[test]
        fn no_text_of_the_content_comes_through(text in "[^ae-z]{3,20}") {
            let canary = format!("q{text}q");
            let quoted = serde_json::to_string(&canary).unwrap();
            for json in [format!(r#"{{"age":{quoted}}}"#), format!(r#"{{"age":1,"kind":{quoted}}}"#), format!("{{{quoted}:1}}"),
                         format!(r#"{{"age":1,"letter":{quoted}}}"#), format!(r#"{{"age":1,"id":{quoted}}}"#)] {
                let shown = shown::<Person>(&json);
                prop_assert!(!shown.contains(&canary), "{}", shown);
            }
        }
    }
}
