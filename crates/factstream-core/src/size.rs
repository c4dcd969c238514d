//! What `{:?}` shows of content: its size. It may be personal, and what is formatted ends up in logs.

use std::fmt;

pub(crate) struct Size(usize);

impl Size {
    pub(crate) fn of(content: impl AsRef<[u8]>) -> Self {
        Self(content.as_ref().len())
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}
