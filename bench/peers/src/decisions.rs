//! disintegrate with disintegrate-postgres: `order` has its events, the state that it folds of them and its decisions; a rebuild
//! is its `PgEventListener`.
//!
//! It makes its tables itself. Its payloads are JSON, as everybody's here; it takes other formats, too.

mod order;
mod commands;
mod rebuild;

pub(crate) use commands::commands;
pub(crate) use rebuild::rebuild;

use disintegrate::serde::json::Json;
use disintegrate_postgres::PgEventStore;
use order::OrderEvent;

type Store = PgEventStore<OrderEvent, Json<OrderEvent>>;

const SCHEMA: &str = include_str!("decisions/schema.sql");
const COUNT: &str = include_str!("decisions/count.sql");
