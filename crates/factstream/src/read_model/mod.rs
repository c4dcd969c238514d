//! Read models: rows folded from events, in tables that anybody can query with plain SQL (G10, G11).
//!
//! The way through here: `fold` is what a user writes, `rows` loads and writes the rows of its table, `folding` handles a batch in
//! memory and writes each touched row once, `fill` does so over the whole log for a new table, `query` reads rows and `wait` waits
//! until they show a position. Rebuilding is `crate::rebuild`.

mod cursor;
mod fill;
pub(crate) mod fold;
pub(crate) mod folding;
mod keys;
pub(crate) mod query;
pub(crate) mod rows;
mod wait;

#[doc(hidden)]
pub use cursor::cursor_again;
pub use factstream_core::read_model::{
    Column, ColumnValue, Condition, KeyError, ReadModel, RowKey, TypedColumn,
};
pub use fold::{Fold, FoldRows};
pub use keys::Keys;
pub use query::{PAGE_ROWS_MAX, Page, ReadModelQuery, SortOrder, WAIT_DEFAULT};
