//! Names of what the framework runs itself, where names of handlers stand.

/// Names of handlers do not begin like this: it is how the framework's own are told apart from them.
pub(crate) const RESERVED: &str = "fs:";

/// What the relay is called.
pub(crate) const RELAY: &str = "fs:relay";

/// What the sealer is called.
pub(crate) const SEALER: &str = "fs:sealer";
