//! The model and the ports of factstream. No I/O happens here.
//!
//! Read the modules in this order; it is the way of the data:
//!
//! | step | module |
//! |---|---|
//! | what JSON looks like, compared with what it was | [`schema`] |
//! | what happened, as a typed fact | [`event`] |
//! | state folded from facts, and the decisions on it | [`aggregate`] |
//! | a fact with its place, time and cause | [`envelope`] |
//! | who asked for it, in which conversation | [`context`] |
//! | what its user has seen of the aggregate | [`expected`] |
//! | stored JSON to a typed fact, old versions lifted | [`decode`] |
//! | a fact on the wire | [`message`] |
//! | values and rows of SQL | [`sql`] |
//! | a struct that is a row of a table | [`read_model`] |
//! | the port to an event store | [`store`] |
//! | the port to a broker | [`broker`] |
//!
//! Invariants kept here: `decide` and `apply` are pure; an event's JSON is one flat object; every stored event is
//! decoded at one place ([`decode::Decoder`]); an engine is one crate that implements [`store::Store`] or
//! [`broker::Broker`] and passes the conformance suite.

pub mod schema;
pub mod event;
pub mod aggregate;
mod id;
pub mod causes;
mod read_context;
mod metadata;
mod json_text;
pub mod envelope;
pub mod context;
pub mod expected;
mod finite;
mod variant;
mod digits;
mod content_error;
pub mod decode;
pub mod message;
pub mod partition;
pub mod sql;
pub mod read_model;
mod size;
mod append;
mod content;
mod command_key;
mod dependent;
pub mod store;
pub mod recordable;
pub mod broker;
pub mod testkit;
#[doc(hidden)]
pub mod sabotage;

/// What the derive macros call; not for use by hand.
#[doc(hidden)]
pub mod derive_support {
    pub use crate::variant::{decode_variant, encode_variant, rewrite_variant};
    pub use serde_json;

    use crate::read_model::ColumnValue;
    use crate::sql::{Row, RowError};

    /// One column of a read model's row.
    pub fn read_column<T: ColumnValue>(row: &Row, column: &str) -> Result<T, RowError> {
        row.get(column)
    }
}
