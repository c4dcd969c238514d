//! The tables of projections: made at start, noticed when their shape has changed, named aside while they are rebuilt.

use crate::error::Error;
use crate::tx::{TableNames, Tx};
use factstream_core::params;
use factstream_core::read_model::{Column, ReadModel};
use factstream_core::sql::quoted;
use factstream_core::store::{Store, StoreError};

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
    /// The types of its key's columns, where they are known.
    pub(crate) key_types: Vec<&'static str>,
}

impl Table {
    /// A table that is made by these statements.
    pub(crate) fn written(name: &str, create: &str, indexes: &[&str]) -> Self {
        let indexes = indexes.iter().map(|index| (*index).to_owned()).collect();
        Self { name: name.to_owned(), create: create.to_owned(), indexes, key_types: Vec::new() }
    }

    /// The table whose rows are of this type.
    pub(crate) fn of<R: ReadModel>() -> Self {
        let key: Vec<String> = R::KEY.iter().map(|at| quoted(R::COLUMNS[*at].name)).collect();
        let is_lone_key = |at: usize| R::KEY == [at];
        let columns = R::COLUMNS.iter().enumerate().map(|(at, column)| {
            let rule = match (is_lone_key(at), column.nullable) {
                (true, _) => " PRIMARY KEY NOT NULL",
                (false, true) => "",
                (false, false) => " NOT NULL",
            };
            format!("{} {}{rule}", quoted(column.name), column.sql_type)
        });
        let mut parts: Vec<String> = columns.collect();
        let key = key.join(", ");
        if R::KEY.len() > 1 {
            parts.push(format!("PRIMARY KEY ({key})"));
        }
        let indexes = R::COLUMNS.iter().filter(|column| column.index).map(|Column { name, .. }| {
            format!("CREATE INDEX \"{{table}}_{name}\" ON \"{{table}}\" ({}, {key})", quoted(name))
        });
        Self {
            name: R::TABLE.to_owned(),
            create: format!("CREATE TABLE \"{{table}}\" ({})", parts.join(", ")),
            indexes: indexes.collect(),
            key_types: R::KEY.iter().map(|at| R::COLUMNS[*at].sql_type).collect(),
        }
    }

    /// Refuses a key that no row can be found by.
    fn check_key(&self) -> Result<(), Error> {
        match self.key_types.iter().find(|of| !["TEXT", "BIGINT", "BOOLEAN"].contains(of)) {
            None => Ok(()),
            Some(of) => Err(Error::Wiring(format!(
                "a column of type {of} cannot be a part of the key of {}; use text, a whole number or a truth value",
                self.name
            ))),
        }
    }

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
        // Without the quotes of its names: they say nothing of how it looks.
        statements.join(";\n").replace('"', "")
    }

    /// Makes it under its live name, or beside that one; indexes come last, with the switch.
    pub(crate) async fn create(&self, tx: &mut Tx, names: &TableNames) -> Result<(), Error> {
        tx.sql(&self.create.replace("{table}", &names.of(&self.name)), params![]).await?;
        Ok(())
    }

    /// Makes the indexes of the live table and notes its shape and its owner.
    pub(crate) async fn finish(&self, tx: &mut Tx, handler: &str) -> Result<(), Error> {
        for index in &self.indexes {
            tx.sql(&index.replace("{table}", &self.name), params![]).await?;
        }
        self.note(tx, handler).await
    }

    /// Notes its shape and its owner.
    async fn note(&self, tx: &mut Tx, handler: &str) -> Result<(), Error> {
        let sql = "INSERT INTO fs_read_models (table_name, shape, handler) VALUES ($1, $2, $3) \
                   ON CONFLICT (table_name) DO UPDATE SET shape = excluded.shape, handler = excluded.handler";
        tx.sql(sql, params![&self.name, self.shape(), handler]).await?;
        Ok(())
    }
}

/// How the tables that are there fit the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableMatch {
    Missing,
    Same,
    /// Made by other code: it must be rebuilt.
    Changed,
}

impl Managed {
    /// The table of a read model.
    pub(crate) fn of<R: ReadModel>() -> Self {
        Self { projection: R::TABLE.to_owned(), tables: vec![Table::of::<R>()] }
    }

    /// Refuses tables whose names or keys cannot be used.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.tables.iter().try_for_each(|table| table.check_name().and_then(|()| table.check_key()))
    }

    /// Whether the tables that an earlier release of factstream has made are there and as this build makes them.
    pub(crate) async fn fit(&self, tx: &mut Tx) -> Result<TableMatch, Error> {
        let mut missing = 0;
        for table in &self.tables {
            let sql = "SELECT shape FROM fs_read_models WHERE table_name = $1";
            let rows = tx.query(sql, params![&table.name]).await?;
            match rows.first().map(|row| row.get::<String>("shape")).transpose()? {
                Some(shape) if without_shards(&shape) == table.shape() => {}
                Some(_) => return Ok(TableMatch::Changed),
                None => missing += 1,
            }
        }
        Ok(match missing {
            0 => TableMatch::Same,
            missing if missing == self.tables.len() => TableMatch::Missing,
            _ => TableMatch::Changed, // a table that joined the others is empty
        })
    }

    /// Makes the tables under their live names.
    pub(crate) async fn make(&self, tx: &mut Tx) -> Result<(), Error> {
        for table in &self.tables {
            table.create(tx, &TableNames::Live).await.map_err(|error| in_the_way(&table.name, &error))?;
            table.finish(tx, &self.projection).await?;
        }
        Ok(())
    }
}

impl Managed {
    /// Makes those tables that are not there. What is there has to be as this build declares it: for a consumer, whose rows cannot be
    /// made anew.
    pub(crate) async fn make_missing(&self, store: &dyn Store, tx: &mut Tx) -> Result<(), Error> {
        for table in &self.tables {
            let sql = "SELECT shape FROM fs_read_models WHERE table_name = $1";
            let rows = tx.query(sql, params![&table.name]).await?;
            match rows.first().map(|row| row.get::<String>("shape")).transpose()? {
                Some(shape) if shape == table.shape() => continue,
                Some(_) => return Err(changed(&self.projection, &table.name)),
                None => {}
            }
            // Outside of the transaction, which a refused statement would end.
            let look = format!("SELECT 1 FROM {} LIMIT 1", quoted(&table.name));
            match store.query(&look, params![]).await {
                Ok(_) => table.note(tx, &self.projection).await?, // somebody has made it, or changed it
                Err(StoreError::Statement { .. }) => {
                    let made = table.create(tx, &TableNames::Live).await;
                    made.map_err(|error| in_the_way(&table.name, &error))?;
                    table.finish(tx, &self.projection).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn changed(handler: &str, table: &str) -> Error {
    Error::Wiring(format!(
        "the table {table} of the consumer {handler} is declared otherwise than the store has it, and its rows cannot be made anew \
         from the log. Change the table (ALTER TABLE ..), then run: DELETE FROM fs_read_models WHERE table_name = '{table}'. Or \
         declare a table of another name"
    ))
}

/// The shape as earlier releases wrote it, which had the number of shards in its last line.
fn without_shards(shape: &str) -> &str {
    match shape.rsplit_once(";\n-- ") {
        Some((statements, last)) if last.ends_with(" shards") => statements,
        _ => shape,
    }
}

/// The handler that a table belongs to, where that is known.
pub(crate) async fn owner(store: &dyn Store, table: &str) -> Result<Option<String>, Error> {
    let sql = "SELECT handler FROM fs_read_models WHERE table_name = $1";
    let rows = store.query(sql, params![table]).await?;
    Ok(rows.first().map(|row| row.get::<Option<String>>("handler")).transpose()?.flatten())
}

fn in_the_way(table: &str, error: &Error) -> Error {
    Error::Wiring(format!(
        "the table {table} cannot be made: {error}. If a table of that name is in the way, rename one"
    ))
}
