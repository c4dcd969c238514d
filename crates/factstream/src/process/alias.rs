//! Another id of an instance.

use crate::processor::unit;
use factstream_core::envelope::check_id;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Stands between the name and the value, so a name has none.
const SEPARATOR: char = '=';

/// Another id of an instance of a process, which the instance was given by [`Acts::alias`](crate::Acts::alias): that of its payment, for
/// example.
///
/// ```
/// use factstream::process::Alias;
///
/// let alias = Alias { name: "payment".into(), value: "p-7".into() };
/// assert_eq!(alias.to_string(), "payment=p-7"); // as letters show it
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Alias {
    /// What kind of id it is.
    pub name: String,
    /// The id.
    pub value: String,
}

impl Alias {
    /// Whether it can be used.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.name.contains(SEPARATOR) {
            return Err(format!("the name of the alias {self} has a {SEPARATOR:?}; give it another"));
        }
        let parts = check_id("name of an alias", &self.name).and_then(|()| check_id("alias", &self.value));
        parts
            .and_then(|()| check_id("alias with its name", &self.to_string()))
            .map_err(|error| error.to_string())
    }

    /// What waits for it waits under this key.
    pub(super) fn key(&self) -> String {
        unit::of_alias(&self.to_string())
    }

    /// As it is stored.
    pub(super) fn of_text(text: &str) -> Self {
        let (name, value) = text.split_once(SEPARATOR).unwrap_or((text, ""));
        Self { name: name.to_owned(), value: value.to_owned() }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEPARATOR}{}", self.name, self.value)
    }
}
