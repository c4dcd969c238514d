//! Numbers keep their digits on the way through an upcaster.
//!
//! An upcaster is given [`serde_json::Value`], which holds numbers beyond 64 bits and fractions as `f64`. What it leaves alone, moves or
//! renames is written back here with the digits that were recorded; what it works out is written as it is. (serde_json's
//! feature `arbitrary_precision` would do so, too, but for the whole program of a user, where it breaks flattened fields.)

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::{Error, Value};
use std::collections::HashMap;
use std::io::{self, Write};

/// Whether the value has a number that may have lost digits.
pub(crate) fn has_reals(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_reals),
        Value::Object(fields) => fields.values().any(has_reals),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// How the numbers of a JSON text are written in it, by the `f64` that they are read as.
pub(crate) struct Spellings<'a> {
    by_bits: HashMap<u64, Spelling<'a>>,
}

#[derive(Clone, Copy)]
enum Spelling<'a> {
    As(&'a str),
    /// Two numbers that differ beyond an `f64`.
    Several,
}

impl<'a> Spellings<'a> {
    pub(crate) fn of(json: &'a str) -> Self {
        let mut by_bits = HashMap::new();
        for text in numbers(json) {
            let Ok(number) = text.parse::<f64>() else { continue };
            by_bits
                .entry(number.to_bits())
                .and_modify(|known| {
                    if matches!(known, Spelling::As(other) if decimal(other) != decimal(text)) {
                        *known = Spelling::Several;
                    }
                })
                .or_insert(Spelling::As(text));
        }
        Self { by_bits }
    }

    /// JSON text of a value, with these spellings.
    ///
    /// # Errors
    /// When the value has a number that two of the text's numbers were read as: which of them it is cannot be known.
    pub(crate) fn write(&self, value: &Value) -> Result<String, Error> {
        let mut json = Vec::new();
        value.serialize(&mut Serializer::with_formatter(&mut json, Spelled(self)))?;
        String::from_utf8(json).map_err(|_| serde::ser::Error::custom("JSON is UTF-8"))
    }
}

struct Spelled<'a, 'b>(&'a Spellings<'b>);

impl Formatter for Spelled<'_, '_> {
    fn write_f64<W: Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        match self.0.by_bits.get(&value.to_bits()) {
            None => CompactFormatter.write_f64(writer, value),
            Some(Spelling::As(text)) => writer.write_all(text.as_bytes()),
            Some(Spelling::Several) => Err(io::Error::other(
                "two numbers of the event differ in digits that an upcaster cannot see; keep such numbers as text",
            )),
        }
    }
}

/// The numbers of a JSON text, as they are written.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let begin = at;
            match bytes[at] {
                b'"' => at = behind_text(bytes, at),
                b'-' | b'0'..=b'9' => {
                    while at < bytes.len()
                        && matches!(bytes[at], b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
                    {
                        at += 1;
                    }
                    return Some(&json[begin..at]);
                }
                _ => at += 1,
            }
        }
        None
    })
}

fn behind_text(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// What a number is, however it is written: its sign, its digits without zeros around them, and the power of ten of the last one.
fn decimal(text: &str) -> (bool, String, i64) {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap_or(i64::MAX / 2);
    let last = exponent - fraction.len() as i64 + dropped as i64;
    let digits = significant.trim_start_matches('0').to_owned();
    let last = if digits.is_empty() { 0 } else { last };
    (is_negative, digits, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(json: &str) -> Result<String, Error> {
        let value: Value = serde_json::from_str(json)?;
        assert!(has_reals(&value), "{json}");
        Spellings::of(json).write(&value)
    }

    #[test]
    fn digits_beyond_an_f64_are_kept_and_text_is_no_number() {
        for json in [
            r#"{"a":340282366920938463463374607431768211455,"b":-170141183460469231731687303715884105728}"#,
            r#"{"a":0.1234567890123456789012345,"b":[1.50,1.5,15e-1],"c":"0.1"}"#,
            r#"{"a":1e3,"b":1E+03}"#,
        ] {
            let kept = through(json).unwrap();
            let digits = |json: &str| numbers(json).map(decimal).collect::<Vec<_>>();
            assert_eq!(digits(&kept), digits(json), "{json}");
        }
        assert_eq!(through(r#"{"a":"\"0.10","b":0.10}"#).unwrap(), r#"{"a":"\"0.10","b":0.10}"#);
    }

    #[test]
    fn two_numbers_that_an_f64_cannot_tell_apart_are_refused() {
        let refused = through("[0.12345678901234567890,0.12345678901234567891]").unwrap_err().to_string();
        assert!(refused.contains("keep such numbers as text") && !refused.contains("1234"), "{refused}");
    }

    proptest! {
        #[test]
        fn a_number_is_written_as_it_was_read(whole in 0_u128.., fraction in 0_u64.., negative: bool) {
            let sign = if negative { "-" } else { "" };
            for number in [format!("{sign}{whole}.{fraction}"), format!("{sign}{whole}99999999999999999999")] {
                let json = format!(r#"{{"n":{number}}}"#);
                prop_assert_eq!(through(&json).unwrap(), json);
            }
        }
    }
}
