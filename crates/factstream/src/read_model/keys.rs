//! The keys of the rows that one event touches.

/// No key, one or several.
///
/// ```
/// use factstream::Keys;
///
/// assert_eq!(Keys::from(["a", "b"]), ["a", "b"].into_iter().collect());
/// assert_eq!(Keys::from(["a"]), Keys::One("a"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Keys<K> {
    /// The event belongs to no row.
    #[default]
    None,
    /// To one.
    One(K),
    /// To several.
    Several(Vec<K>),
}

impl<K> Keys<K> {
    /// The keys in their order.
    pub fn as_slice(&self) -> &[K] {
        match self {
            Self::None => &[],
            Self::One(key) => std::slice::from_ref(key),
            Self::Several(keys) => keys,
        }
    }

    /// What `make` makes of each.
    pub(crate) fn try_map<T, E>(self, mut make: impl FnMut(K) -> Result<T, E>) -> Result<Keys<T>, E> {
        Ok(match self {
            Self::None => Keys::None,
            Self::One(key) => Keys::One(make(key)?),
            Self::Several(keys) => Keys::Several(keys.into_iter().map(make).collect::<Result<_, E>>()?),
        })
    }

    /// Without those that `same` finds to be the same as an earlier one.
    pub(crate) fn once(self, same: impl Fn(&K, &K) -> bool) -> Self {
        let Self::Several(keys) = self else { return self };
        let mut once: Vec<K> = Vec::with_capacity(keys.len());
        for key in keys {
            if !once.iter().any(|known| same(known, &key)) {
                once.push(key);
            }
        }
        Self::Several(once)
    }
}

impl<K> FromIterator<K> for Keys<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut keys: Vec<K> = keys.into_iter().collect();
        match keys.len() {
            0 => Self::None,
            1 => keys.pop().map_or(Self::None, Self::One),
            _ => Self::Several(keys),
        }
    }
}

impl<K, const N: usize> From<[K; N]> for Keys<K> {
    fn from(keys: [K; N]) -> Self {
        keys.into_iter().collect()
    }
}

impl<K> From<Vec<K>> for Keys<K> {
    fn from(keys: Vec<K>) -> Self {
        keys.into_iter().collect()
    }
}
