//! The headers of a message: names and bytes, in order. Nothing in them is trusted.

use std::fmt;

/// Names with their bytes, in order; a name may be there more than once.
///
/// All names lie in one piece of memory and all bytes in another, however many there are: a consumer takes over eleven with
/// every record.
///
/// ```
/// use factstream_core::message::Headers;
///
/// let mut headers: Headers = [("event_type", "OrderCreated")].into_iter().collect();
/// headers.push("source", "orders");
/// assert_eq!(headers.get("source"), Some(b"orders".as_slice()));
/// assert_eq!(headers.len(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    names: String,
    values: Vec<u8>,
    /// Where each ends: its name, and its value.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// None, with room for so many of the usual length.
    pub fn with_capacity(count: usize) -> Self {
        const NAME_BYTES: usize = 14;
        const VALUE_BYTES: usize = 28;
        Self {
            names: String::with_capacity(count * NAME_BYTES),
            values: Vec::with_capacity(count * VALUE_BYTES),
            ends: Vec::with_capacity(count),
        }
    }

    /// Adds one after the others.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.names.push_str(name);
        self.values.extend_from_slice(value.as_ref());
        self.ends.push((self.names.len(), self.values.len()));
    }

    /// The first of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(header, _)| *header == name).map(|(_, value)| value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut from = (0, 0);
        self.ends.iter().map(move |&(name, value)| {
            let header = (&self.names[from.0..name], &self.values[from.1..value]);
            from = (name, value);
            header
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes their names and values have.
    pub fn bytes(&self) -> usize {
        self.names.len() + self.values.len()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, value)| (name, value.escape_ascii().to_string())))
            .finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Extend<(N, V)> for Headers {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, headers: I) {
        for (name, value) in headers {
            self.push(name.as_ref(), value);
        }
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut all = Self::new();
        all.extend(headers);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_pushed_comes_back_in_order(pairs in any::<Vec<(String, Vec<u8>)>>()) {
            let headers: Headers = pairs.iter().map(|(name, value)| (name, value)).collect();
            let back: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
            prop_assert_eq!(&back, &pairs);
            prop_assert_eq!((headers.len(), headers.is_empty()), (pairs.len(), pairs.is_empty()));
            for (name, _) in &pairs {
                let first = pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_slice());
                prop_assert_eq!(headers.get(name), first);
            }
        }

        #[test]
        fn they_are_equal_when_names_and_bytes_are(
            one in proptest::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3),
            other in proptest::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..3),
        ) {
            let headers = |pairs: &[(String, String)]| pairs.iter().map(|(n, v)| (n, v)).collect::<Headers>();
            prop_assert_eq!(headers(&one) == headers(&other), one == other);
        }
    }
}
