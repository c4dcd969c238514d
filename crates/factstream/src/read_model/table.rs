//! The tables of projections: made at start, noticed when their shape has changed, named aside while they are rebuilt.

use super::Fold;
use crate::error::Error;
use crate::tx::{TableNames, Tx};
use factstream_core::params;
use factstream_core::read_model::{Column, ReadModel};
pub(crate) use factstream_core::sql::quoted;
use factstream_core::store::Store;

/// As the derives have it: with what is put behind it, a name stays within PostgreSQL's 63 bytes.
const NAME_BYTES_MAX: usize = 48;

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
    /// Refuses a name that is not the same with and without quotes, or is factstream's own.
    fn check_name(&self) -> Result<(), Error> {
        let name = &self.name;
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_own = name == "events" || name.starts_with("fs_");
        if begins && name.len() <= NAME_BYTES_MAX && name.chars().all(allowed) && !is_own {
            return Ok(());
        }
        Err(Error::Wiring(format!(
            "{name:?} cannot be a table's name: it has 1 to {NAME_BYTES_MAX} characters of a-z, 0-9 and '_', begins with \
             a letter or '_', and is neither `events` nor begins with `fs_`, which are factstream's own"
        )))
    }

    /// What the table looks like, to notice a change.
    pub(crate) fn shape(&self) -> String {
        let statements: Vec<&str> =
            std::iter::once(&self.create).chain(&self.indexes).map(String::as_str).collect();
        let split = match self.shards {
            1 => String::new(),
            shards => format!(";\n-- {shards} shards"),
        };
        // Without the quotes of its names: they say nothing of how it looks.
        statements.join(";\n").replace('"', "") + &split
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
        let key = quoted(R::COLUMNS[R::KEY].name);
        let columns: Vec<String> = R::COLUMNS
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let rule = match (at == R::KEY, column.nullable) {
                    (true, _) => " PRIMARY KEY NOT NULL",
                    (false, true) => "",
                    (false, false) => " NOT NULL",
                };
                format!("{} {}{rule}", quoted(column.name), column.sql_type)
            })
            .collect();
        let indexes = R::COLUMNS.iter().filter(|column| column.index).map(|Column { name, .. }| {
            format!("CREATE INDEX \"{{table}}_{name}\" ON \"{{table}}\" ({}, {key})", quoted(name))
        });
        let table = Table {
            name: R::TABLE.to_owned(),
            create: format!("CREATE TABLE \"{{table}}\" ({})", columns.join(", ")),
            indexes: indexes.collect(),
            shards: R::shards().max(1),
        };
        Self { projection: R::TABLE.to_owned(), tables: vec![table] }
    }

    /// Refuses tables whose names cannot be used.
    pub(crate) fn check_names(&self) -> Result<(), Error> {
        self.tables.iter().try_for_each(Table::check_name)
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

/// A column of a table, both quoted. SQLite takes a lone name in quotes for a text when there is no such column.
pub(crate) fn column_of(table: &str, column: &str) -> String {
    format!("{table}.{}", quoted(column))
}

/// The columns of a read model, as a SELECT from a quoted table lists them.
pub(crate) fn column_list<R: ReadModel>(table: &str) -> String {
    let columns: Vec<String> = R::COLUMNS.iter().map(|column| column_of(table, column.name)).collect();
    columns.join(", ")
}
