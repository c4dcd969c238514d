//! What people have put on the tables of a projection (views, indexes, triggers, grants): taken off before a rebuild drops the
//! live tables, put on again when the new ones have their names.
//!
//! Invariant: both happen in the switch's transaction. What does not fit the new table ends the rebuild with an error that
//! names it; the live table then stays as it was, with all that is on it.

use crate::error::Error;
use crate::handler::tables::{Managed, Table};
use crate::tx::Tx;
use factstream_core::store::{Dependent, DependentKind};
use factstream_core::{params, sql::placeholders};

/// What was taken off.
pub(crate) struct TakenOff {
    dependents: Vec<Dependent>,
    /// Those that did not work before: they are put on again, but not looked at.
    broken: Vec<bool>,
}

impl TakenOff {
    /// Takes everything off the live tables that would keep them from being dropped, or renamed.
    pub(crate) async fn take_off(tx: &mut Tx, managed: &Managed) -> Result<Self, Error> {
        let own = own_indexes(tx, managed).await?;
        let tables: Vec<String> = managed.tables.iter().map(|table| table.name.clone()).collect();
        let mut dependents = tx.dependents(&tables).await?;
        dependents.retain(|on| on.kind != DependentKind::Index || !own.contains(&on.name));
        let mut broken = Vec::with_capacity(dependents.len());
        for on in &dependents {
            broken.push(match &on.check {
                Some(check) => tx.query(check, params![]).await.is_err(),
                None => false,
            });
        }
        for on in dependents.iter().rev() {
            if let Some(take_off) = &on.take_off {
                tx.sql(take_off, params![]).await.map_err(|error| in_the_way(on, &error))?;
            }
        }
        Ok(Self { dependents, broken })
    }

    /// Puts everything on again.
    pub(crate) async fn put_on(self, tx: &mut Tx) -> Result<(), Error> {
        for on in &self.dependents {
            tx.sql(&on.put_on, params![]).await.map_err(|error| in_the_way(on, &error))?;
        }
        for (on, was_broken) in self.dependents.iter().zip(self.broken) {
            if let Some(check) = on.check.as_ref().filter(|_| !was_broken) {
                tx.query(check, params![]).await.map_err(|error| in_the_way(on, &error))?;
            }
        }
        Ok(())
    }
}

fn in_the_way(on: &Dependent, error: &dyn std::fmt::Display) -> Error {
    Error::Dependent {
        what: format!("{} {}", on.kind.name(), on.name),
        reason: error.to_string(),
        made_by: on.put_on.clone(),
    }
}

/// The names of the indexes that factstream makes itself, by this build and by the one that made the tables.
async fn own_indexes(tx: &mut Tx, managed: &Managed) -> Result<Vec<String>, Error> {
    let names = placeholders(1, managed.tables.len());
    let sql = format!("SELECT table_name, shape FROM fs_read_models WHERE table_name IN ({names})");
    let tables = managed.tables.iter().map(|table| table.name.as_str().into()).collect();
    let mut own = Vec::new();
    for row in tx.query(&sql, tables).await? {
        let (table, shape): (String, String) = (row.get("table_name")?, row.get("shape")?);
        own.extend(shape.split(";\n").filter_map(|statement| index_name(statement, &table)));
    }
    for Table { name, indexes, .. } in &managed.tables {
        own.extend(indexes.iter().filter_map(|statement| index_name(statement, name)));
    }
    Ok(own)
}

/// The name in a `CREATE INDEX`, where `{table}` stands for the table's name.
fn index_name(statement: &str, table: &str) -> Option<String> {
    let mut words =
        statement.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("INDEX")).skip(1);
    let statement_begins = statement.trim_start().get(..6)?;
    let name = words.find(|word| {
        !["CONCURRENTLY", "IF", "NOT", "EXISTS"].iter().any(|other| word.eq_ignore_ascii_case(other))
    })?;
    statement_begins.eq_ignore_ascii_case("CREATE").then(|| name.replace('"', "").replace("{table}", table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_own_index_is_found_however_it_is_made() {
        for statement in [
            "CREATE INDEX {table}_cents ON {table} (cents)",
            "create unique index if not exists \"{table}_cents\" ON \"{table}\" (cents)",
        ] {
            assert_eq!(index_name(statement, "totals").as_deref(), Some("totals_cents"));
        }
        assert_eq!(index_name("CREATE TABLE {table} (index TEXT)", "totals"), None);
    }
}
