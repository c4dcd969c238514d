//! Whether a rebuild ends in the rows that are there.

use super::app::TestApp;
use crate::processor::HandlerKind;
use factstream_core::params;
use factstream_core::sql::{Row, quoted};
use std::collections::BTreeSet;

impl TestApp {
    /// Rebuilds every read model and projection from the log, and compares: the rows must be those that were there (G10). What
    /// fails here takes its rows from something else than the events: the time of day, another table, the order of a batch.
    ///
    /// # Panics
    /// When a rebuild fails or ends in other rows.
    pub async fn rebuilds_to_the_same_rows(&self) {
        self.settle().await;
        let live = |kind| matches!(kind, HandlerKind::ReadModel | HandlerKind::Projection);
        let names: BTreeSet<&str> =
            self.specs().iter().filter(|spec| live(spec.kind)).map(|spec| spec.handler.as_str()).collect();
        for name in names {
            let before = self.tables_of(name).await;
            let rebuilt = self.rebuild(name, |_| {}).await;
            rebuilt.unwrap_or_else(|error| panic!("{name} cannot be rebuilt: {error}"));
            assert_eq!(self.tables_of(name).await, before, "a rebuild of {name} ends in other rows");
        }
    }

    /// The rows of a handler's tables, in an order of their own.
    async fn tables_of(&self, handler: &str) -> Vec<(String, Vec<Row>)> {
        let managed = self.managed().iter().filter(|managed| managed.projection == handler);
        let mut tables = Vec::new();
        for table in managed.flat_map(|managed| &managed.tables) {
            let sql = format!("SELECT * FROM {}", quoted(&table.name));
            let mut rows = self.rows(&sql, params![]).await;
            rows.sort_by_cached_key(|row| format!("{:?}", row.values()));
            tables.push((table.name.clone(), rows));
        }
        tables
    }
}
