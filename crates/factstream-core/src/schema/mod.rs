//! What an event's JSON looks like, as data: shapes come from the types, are locked in files, and are compared with later ones.
//!
//! A [`Schema`] says two things at once: what this build writes (the *write contract*) and what it can read (the *read contract*). A
//! change is compatible when everything that the old write contract allows is within the new read contract: [`misfits`].
//!
//! Invariants: a shape is a function of the types alone, so two builds of one source give the same; the comparison is sound: what it
//! calls readable, serde reads. It is not complete: it may refuse what serde would read after all.

mod node;
mod shape;
mod builtin;
mod foreign_types;
mod object;
mod fits;
mod misfit;
mod sample;
mod selfcheck;
mod json_schema;

pub use fits::{Reader, misfits};
pub use json_schema::json_schema;
pub use misfit::{Level, Misfit, Mismatch};
pub use node::{Alternative, Bound, Field, Node, Reading, Rest, Schema, Written};
pub use object::{ObjectShape, Tagging};
pub use sample::{Contract, sample};
pub use selfcheck::{Flaw, flaws};
pub use shape::{Shape, ShapeOf, Shapes};

#[cfg(test)]
mod tests;
