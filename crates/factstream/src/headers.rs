//! The headers of a message as JSON text in a column: text where they are UTF-8, else base64, so that the bytes stay
//! whole (G12).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use factstream_core::message::Headers;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Header {
    Text { name: String, value: String },
    Bytes { name: String, base64: String },
}

/// The JSON text of headers.
pub(crate) fn to_json(headers: &Headers) -> Result<String, serde_json::Error> {
    let headers = headers.iter().map(|(name, value)| match std::str::from_utf8(value) {
        Ok(text) => Header::Text { name: name.to_owned(), value: text.to_owned() },
        Err(_) => Header::Bytes { name: name.to_owned(), base64: BASE64.encode(value) },
    });
    serde_json::to_string(&headers.collect::<Vec<_>>())
}

/// The headers of a JSON text.
pub(crate) fn from_json(json: &str) -> Result<Headers, serde_json::Error> {
    let headers: Vec<Header> = serde_json::from_str(json)?;
    let pairs = headers.into_iter().map(|header| match header {
        Header::Text { name, value } => Ok((name, value.into_bytes())),
        Header::Bytes { name, base64 } => {
            BASE64.decode(base64).map(|value| (name, value)).map_err(serde::de::Error::custom)
        }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_header_survives() {
        let every: Vec<u8> = (0..=255).collect();
        let headers = Headers::from_iter([("text", "ä\"".as_bytes()), ("bytes", &every)]);
        assert_eq!(from_json(&to_json(&headers).unwrap()).unwrap(), headers);
        assert!(from_json(r#"[{"name":"n","base64":"%"}]"#).is_err(), "damage is told, never passed over");
    }
}
