//! How often a handler was taken over.

/// A generation of a handler: it grows by one with each build, division or rebuild that takes over.
pub(crate) type Generation = i64;

/// The generation of what the framework runs itself: the relay, and rebuilds under way.
pub(crate) const OWN: Generation = 0;
