//! Schema evolution: what events' JSON looks like, locked in files and compared with what it was.

pub use factstream_core::schema::*;
