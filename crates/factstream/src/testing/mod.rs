//! Kits for the tests of your application. Decisions and folds need no store; handlers and whole applications run on a real
//! SQLite file in a temporary folder, with a clock that the test moves.
//!
//! | you test | with |
//! |---|---|
//! | decisions of an aggregate | [`given`] |
//! | a read model | [`fold`] |
//! | a process | [`process`]; its inputs in other orders, late and twice: [`any_order`] |
//! | one handler | [`handler`], [`external_handler`] |
//! | the application | [`TestApp`] |
//!
//! A kit panics where something goes wrong, so that a test has no error to pass on.

mod fold;
mod process;
mod any_order;
#[cfg(feature = "sqlite")]
mod clocked_store;
#[cfg(feature = "sqlite")]
mod folder;
#[cfg(feature = "sqlite")]
mod app;
#[cfg(feature = "sqlite")]
mod deliver;
#[cfg(feature = "sqlite")]
mod rebuilt;

pub use crate::kernel::TestClock;
pub use any_order::{AnyOrder, Happens, Outcome, any_order};
pub use factstream_core::testkit::{Given, When, given};
pub use fold::{Folded, fold};
pub use process::{Playing, Reacted, process};

#[cfg(feature = "sqlite")]
pub use app::TestApp;
#[cfg(feature = "sqlite")]
pub use deliver::{Delivered, external_handler, handler};
