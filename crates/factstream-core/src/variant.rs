//! One enum variant to and from one flat JSON object: the events' JSON without serde's outer tag.
//!
//! Encoding takes serde's externally tagged form (`{"Created":{..}}`, or `"Closed"` for a unit variant) and keeps the
//! content. A number that JSON would keep as `null` is refused. Decoding hands serde the variant by index, so a `#[serde(rename)]` on a variant cannot break it.

use crate::content_error::ContentError;
use crate::finite;
use crate::json_text::{JsonText, written};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, IntoDeserializer, VariantAccess,
    Visitor, value::U32Deserializer,
};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};
use serde_json::Error;

/// The content of an enum value as one JSON object.
pub fn encode_variant<T: Serialize>(event: &T) -> Result<JsonText, Error> {
    let mut json = to_json(event)?;
    if json.starts_with('"') {
        return Ok(JsonText::of_content("{}".to_owned()));
    }
    // A variant's tag is a Rust identifier or a serde rename: find its end as JSON does, past escapes.
    let Some(content) = content_start(&json) else {
        return Err(invalid(
            "an event must be serialized as serde's externally tagged enum; remove serde(tag), serde(content) and serde(untagged)",
        ));
    };
    json.truncate(json.len() - 1);
    json.drain(..content);
    if !json.starts_with('{') {
        return Err(invalid("an event's content must be a JSON object; give the variant named fields"));
    }
    Ok(JsonText::of_content(json))
}

/// JSON text of a value that has no NaN and no infinity: these would be written as `null`. Only where there is a `null` is
/// looked for one.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let json = written(value)?;
    if json.contains("null") {
        finite::check(value).map_err(|error| invalid(&error.to_string()))?;
    }
    Ok(json)
}

/// The byte at which the content begins in `{"Tag":content}`.
fn content_start(json: &str) -> Option<usize> {
    let bytes = json.as_bytes();
    if !json.starts_with("{\"") || !json.ends_with('}') {
        return None;
    }
    let mut at = 2;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return (bytes.get(at + 1) == Some(&b':')).then_some(at + 2),
            _ => at += 1,
        }
    }
    None
}

fn invalid(message: &str) -> Error {
    serde::de::Error::custom(message)
}

/// The variant with this index (in declaration order, from 0), from its content.
pub fn decode_variant<T: DeserializeOwned>(index: u32, json: &str) -> Result<T, ContentError> {
    let mut content = serde_json::Deserializer::from_str(json);
    let read = T::deserialize(Tagged { index, content: &mut content });
    read.and_then(|event| content.end().map(|()| event)).map_err(|error| misfit::<T>(index, json, error))
}

/// Reads the variant with this index from its content and writes it again.
pub fn rewrite_variant<T: Serialize + DeserializeOwned>(
    index: u32,
    json: &str,
) -> Result<String, ContentError> {
    let event: T = decode_variant(index, json)?;
    encode_variant(&event).map(String::from).map_err(ContentError::from)
}

/// Why it does not fit. The place is looked for now: who reads what fits pays nothing for it.
#[cold]
fn misfit<T: DeserializeOwned>(index: u32, json: &str, error: Error) -> ContentError {
    let mut content = serde_json::Deserializer::from_str(json);
    match serde_path_to_error::deserialize::<_, T>(Tagged { index, content: &mut content }) {
        Err(placed) => ContentError::from(placed.inner()).at(placed.path()),
        Ok(_) => error.into(), // something stands behind it
    }
}

type Json<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

struct Tagged<'a, 'de> {
    index: u32,
    content: &'a mut Json<'de>,
}

impl<'de> Deserializer<'de> for Tagged<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Tagged<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let index: U32Deserializer<Error> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        let object = std::collections::BTreeMap::<String, IgnoredAny>::deserialize(self.content);
        object.map(drop)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(invalid("an event's variant must have named fields"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content.deserialize_struct("event", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Sample {
        #[serde(rename = "we\"ird")]
        Named {
            text: String,
            #[serde(default)]
            number: Option<i64>,
        },
        Unit,
    }

    #[test]
    fn content_is_flat_and_unit_variants_are_empty_objects() {
        let named = Sample::Named { text: "a".into(), number: None };
        assert_eq!(encode_variant(&named).unwrap(), r#"{"text":"a","number":null}"#);
        assert_eq!(encode_variant(&Sample::Unit).unwrap(), "{}");
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_defaults_filled() {
        let decoded: Sample = decode_variant(0, r#"{"aggregate_id":"o","text":"b"}"#).unwrap();
        assert_eq!(decoded, Sample::Named { text: "b".into(), number: None });
        assert_eq!(decode_variant::<Sample>(1, r#"{"aggregate_id":"o"}"#).unwrap(), Sample::Unit);
    }

    #[test]
    fn what_is_not_one_object_is_an_error() {
        for json in ["", "[]", "null", "{\"text\":1}", "{\"text\":\"a\"} tail"] {
            assert!(decode_variant::<Sample>(0, json).is_err(), "{json}");
        }
        for json in ["", "[]", "null", "{} tail"] {
            assert!(decode_variant::<Sample>(1, json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_event_survives_the_round_trip(text in ".*", number in any::<Option<i64>>()) {
            let event = Sample::Named { text, number };
            let json = encode_variant(&event).unwrap();
            prop_assert_eq!(decode_variant::<Sample>(0, &json).unwrap(), event);
        }
    }
}
