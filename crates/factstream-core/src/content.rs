//! The digest of a value's content: equal for equal values, whatever the order in which a map gives its entries.
//!
//! Invariant: digests are stored with idempotency keys, so a value's digest never changes from one release to the next. Numbers count as
//! they are written, to the last digit.

use crate::message::identity::digest;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// 32 hexadecimal digits.
///
/// # Errors
/// When the value cannot be written as JSON.
pub(crate) fn digest_of(content: &(impl Serialize + ?Sized)) -> Result<String, serde_json::Error> {
    let json = crate::variant::to_json(content)?;
    let mut canonical = String::with_capacity(json.len());
    write(serde_json::from_str(&json)?, &mut canonical)?;
    Ok(digest(canonical.as_bytes()))
}

/// JSON with the fields of objects in order. Everything else stands as serde_json writes it, which is one way for one value.
fn write(json: &RawValue, canonical: &mut String) -> Result<(), serde_json::Error> {
    let json = json.get();
    match json.as_bytes().first() {
        Some(b'{') => {
            canonical.push('{');
            for (name, value) in serde_json::from_str::<BTreeMap<String, &RawValue>>(json)? {
                canonical.push_str(&serde_json::to_string(&name)?);
                canonical.push(':');
                write(value, canonical)?;
                canonical.push(',');
            }
            canonical.push('}');
        }
        Some(b'[') => {
            canonical.push('[');
            for value in serde_json::from_str::<Vec<&RawValue>>(json)? {
                write(value, canonical)?;
                canonical.push(',');
            }
            canonical.push(']');
        }
        _ => canonical.push_str(json),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashMap;

    #[test]
    fn the_order_of_a_map_does_not_count_and_every_digit_does() {
        let raw = |json: &str| digest_of(&RawValue::from_string(json.to_owned()).unwrap()).unwrap();
        assert_eq!(raw(r#"{"b":{"d":[1],"c":2},"a":1}"#), raw(r#"{"a":1,"b":{"c":2,"d":[1]}}"#));
        let map =
            |texts: [&str; 3]| digest_of(&HashMap::from(texts.map(|text| (text.to_owned(), 1)))).unwrap();
        assert_eq!(map(["x", "y", "z"]), map(["z", "x", "y"]));
        assert_ne!(digest_of(&u128::MAX).unwrap(), digest_of(&(u128::MAX - 1)).unwrap());
        assert_ne!(raw("[1,2]"), raw("[2,1]"));
        assert!(digest_of(&f64::NAN).is_err());
    }

    /// It is stored with keys.
    #[test]
    fn a_digest_stays_what_it_is() {
        let content = json!({ "items": [{ "sku": "tea", "quantity": 2 }], "customer": "c-1" });
        assert_eq!(digest_of(&content).unwrap(), "c6946b48ff0e5af08000e501f95cedf6");
    }
}
