//! The tables of projections: made at start, noticed when their shape has changed, named aside while they are rebuilt.

use super::Fold;
use crate::error::Error;
use crate::tx::{TableNames, Tx};
use factstream_core::params;
use factstream_core::store::Store;

/// The tables that belong to one projection, so that it can be rebuilt.
#[derive(Debug, Clone)]
pub(crate) struct Managed {
    /// The projection's name.
    pub(crate) projection: String,
    pub(crate) tables: Vec<Table>,
}

/// One table: how it is made. In its statements, `{table}` stands for its name.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) create: String,
    pub(crate) indexes: Vec<String>,
    /// Into how many parts its projection is split.
    pub(crate) shards: u32,
}

impl Table {
    /// What the table looks like, to notice a change.
    pub(crate) fn shape(&self) -> String {
        let statements: Vec<&str> =
            std::iter::once(&self.create).chain(&self.indexes).map(String::as_str).collect();
        let split = match self.shards {
            1 => String::new(),
            shards => format!(";\n-- {shards} shards"),
        };
        statements.join(";\n") + &split
    }

    /// Makes it under its live name, or beside that one; indexes come last, with the switch.
    pub(crate) async fn create(&self, tx: &mut Tx, names: &TableNames) -> Result<(), Error> {
        tx.execute(&self.create.replace("{table}", &names.of(&self.name)), params![]).await?;
        Ok(())
    }

    /// Makes the indexes of the live table and notes its shape.
    pub(crate) async fn finish(&self, tx: &mut Tx) -> Result<(), Error> {
        for index in &self.indexes {
            tx.execute(&index.replace("{table}", &self.name), params![]).await?;
        }
        let sql = "INSERT INTO fs_read_models (table_name, shape) VALUES ($1, $2) \
                   ON CONFLICT (table_name) DO UPDATE SET shape = excluded.shape";
        tx.execute(sql, params![&self.name, self.shape()]).await?;
        Ok(())
    }
}

/// How the tables that are there fit the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Missing,
    Same,
    /// Made by other code: it must be rebuilt.
    Changed,
}

impl Managed {
    /// The table of a read model.
    pub(crate) fn of<R: Fold>() -> Self {
        let key = R::COLUMNS[R::KEY].name;
        let columns: Vec<String> = R::COLUMNS
            .iter()
            .map(|column| {
                let rule = match (column.name == key, column.nullable) {
                    (true, _) => " PRIMARY KEY NOT NULL",
                    (false, true) => "",
                    (false, false) => " NOT NULL",
                };
                format!("{} {}{rule}", column.name, column.sql_type)
            })
            .collect();
        let indexed = R::COLUMNS.iter().filter(|column| column.index);
        let indexes = indexed
            .map(|column| format!("CREATE INDEX {{table}}_{0} ON {{table}} ({0}, {key})", column.name));
        let table = Table {
            name: R::TABLE.to_owned(),
            create: format!("CREATE TABLE {{table}} ({})", columns.join(", ")),
            indexes: indexes.collect(),
            shards: R::shards().max(1),
        };
        Self { projection: R::TABLE.to_owned(), tables: vec![table] }
    }

    /// Whether the tables are there and as this build makes them.
    pub(crate) async fn fit(&self, store: &dyn Store) -> Result<Fit, Error> {
        let mut fit = Fit::Same;
        for table in &self.tables {
            let sql = "SELECT shape FROM fs_read_models WHERE table_name = $1";
            let rows = store.query(sql, params![&table.name]).await?;
            match rows.first().map(|row| row.get::<String>("shape")).transpose()? {
                Some(shape) if shape == table.shape() => {}
                Some(_) => return Ok(Fit::Changed),
                None => fit = Fit::Missing,
            }
        }
        Ok(fit)
    }

    /// Makes the tables that are missing. Several processes may do so at once.
    pub(crate) async fn make_missing(&self, mut tx: Tx) -> Result<(), Error> {
        // A write first: starting processes go one after the other.
        tx.execute("UPDATE fs_migrations SET applied_at = applied_at", params![]).await?;
        for table in &self.tables {
            let sql = "SELECT 1 FROM fs_read_models WHERE table_name = $1";
            if tx.query(sql, params![&table.name]).await?.is_empty() {
                table
                    .create(&mut tx, &TableNames::Live)
                    .await
                    .map_err(|error| in_the_way(&table.name, &error))?;
                table.finish(&mut tx).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

fn in_the_way(table: &str, error: &Error) -> Error {
    Error::Wiring(format!(
        "the table {table} cannot be made: {error}. If a table of that name is in the way, rename one"
    ))
}

/// The columns of a read model, as a SELECT or INSERT lists them.
pub(crate) fn column_list<R: Fold>() -> String {
    let names: Vec<&str> = R::COLUMNS.iter().map(|column| column.name).collect();
    names.join(", ")
}
