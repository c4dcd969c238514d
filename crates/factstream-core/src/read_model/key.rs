//! By what a row is found: the values of its key columns, as they can be compared in memory.

use crate::sql::{Params, Value, too_large};

/// The key of a row.
///
/// ```
/// use factstream_core::read_model::RowKey;
/// use factstream_core::sql::Value;
///
/// assert_eq!(RowKey::of(Value::from("o-1")), Ok(RowKey::Text("o-1".into())));
/// assert!(RowKey::of(Value::from(1.5)).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// Text: also a UUID or a time.
    Text(String),
    /// A whole number; a truth value is 0 or 1.
    Integer(i64),
    /// Of several columns.
    Several(Vec<RowKey>),
}

impl RowKey {
    /// The key of one column.
    ///
    /// # Errors
    /// [`KeyError`] when it is neither text nor a whole number nor a truth value.
    pub fn of(value: Value) -> Result<Self, KeyError> {
        match value {
            Value::Text(text) => Ok(Self::Text(text)),
            Value::Integer(number) => Ok(Self::Integer(number)),
            Value::Bool(flag) => Ok(Self::Integer(flag.into())),
            Value::TooLarge(_) => Err(KeyError::TooLarge),
            Value::Null => Err(KeyError::Kind { found: "NULL" }),
            Value::Real(_) => Err(KeyError::Kind { found: "a floating-point number" }),
            Value::Blob(_) => Err(KeyError::Kind { found: "bytes" }),
        }
    }

    /// The key of several columns.
    ///
    /// # Errors
    /// As [`RowKey::of`].
    pub fn several(values: impl IntoIterator<Item = Value>) -> Result<Self, KeyError> {
        values.into_iter().map(Self::of).collect::<Result<_, _>>().map(Self::Several)
    }

    /// Adds the values of its columns, in their order.
    pub fn push_to(&self, params: &mut Params) {
        match self {
            Self::Text(text) => params.push(Value::from(text)),
            Self::Integer(number) => params.push(Value::from(*number)),
            Self::Several(parts) => parts.iter().for_each(|part| part.push_to(params)),
        }
    }

    /// The values of its columns, in their order.
    pub fn values(&self) -> Params {
        let mut params = Params::new();
        self.push_to(&mut params);
        params
    }

    /// One text for each key, and never the same for two.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Several(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| format!("{:?}", part.text())).collect();
                parts.join(",")
            }
        }
    }
}

/// Why a value cannot be the key of a row. It never quotes the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A whole number beyond what a database holds.
    #[error("{}", too_large())]
    TooLarge,
    /// Of a kind that rows are not found by.
    #[error("{found} cannot be a part of a row's key; use text, a whole number or a truth value")]
    Kind {
        /// What it is.
        found: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_refused_by_its_kind_and_not_quoted() {
        for value in [Value::Null, Value::Real(1.5), Value::Blob(b"secret".into()), Value::TooLarge(u64::MAX)]
        {
            let refused = RowKey::several([Value::Bool(true), value]).unwrap_err().to_string();
            assert!(!refused.contains("secret") && !refused.contains("18446744073709551615"), "{refused}");
        }
        let key = RowKey::several([Value::from("a"), Value::Bool(true), Value::from(7)]).unwrap();
        assert_eq!(key.values(), [Value::from("a"), Value::from(1), Value::from(7)]);
    }

    proptest! {
        #[test]
        fn two_keys_never_have_one_text(one in any::<(String, String)>(), other in any::<(String, String)>()) {
            let text = |(a, b): &(String, String)| RowKey::several([a.as_str().into(), b.as_str().into()]).unwrap().text();
            prop_assert_eq!(text(&one) == text(&other), one == other);
        }
    }
}
