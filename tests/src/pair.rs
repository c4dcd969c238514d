//! The four pairs of store and broker that the same tests run on, each test with a store and topics of its own.

use crate::process::{Server, run};
use crate::{kafka, postgres};
use std::process::Output;
use tempfile::TempDir;

/// A store and a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// One SQLite file.
    SqliteEmbedded,
    /// A SQLite file and Apache Kafka.
    SqliteKafka,
    /// PostgreSQL alone.
    PostgresEmbedded,
    /// PostgreSQL and Apache Kafka.
    PostgresKafka,
}

/// A new, empty place for one system.
#[derive(Debug)]
pub struct Place {
    /// The store's URL.
    pub store: String,
    /// The broker's URL.
    pub broker: String,
    _dir: TempDir,
}

impl Place {
    /// A new store, and topics that nobody else uses.
    ///
    /// # Panics
    /// When a server does not start.
    pub fn new(pair: Pair) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = match pair {
            Pair::SqliteEmbedded | Pair::SqliteKafka => {
                format!("sqlite://{}", dir.path().join("orders.db").display())
            }
            Pair::PostgresEmbedded | Pair::PostgresKafka => postgres::server().database(),
        };
        let broker = match pair {
            Pair::SqliteEmbedded | Pair::PostgresEmbedded => "embedded".to_owned(),
            Pair::SqliteKafka | Pair::PostgresKafka => kafka::fresh(),
        };
        Self { store, broker, _dir: dir }
    }

    /// Starts `orders serve` here.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn serve(&self, more: &[&str]) -> Server {
        let mut args = vec!["--broker", &self.broker];
        args.extend(more);
        Server::start(&self.store, &args)
    }

    /// Runs another command of `orders` on this store, to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut all = args.to_vec();
        all.extend(["--store", &self.store]);
        run(&all)
    }

    /// `run` on the broker, too.
    pub fn run_with_broker(&self, args: &[&str]) -> Output {
        let mut all = args.to_vec();
        all.extend(["--broker", &self.broker]);
        self.run(&all)
    }
}

/// Makes four tests of each function that takes a [`Place`], one for each pair.
#[macro_export]
macro_rules! on_each_pair {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use $crate::pair::{Pair, Place};

            #[test]
            fn on_sqlite() {
                super::$test(&Place::new(Pair::SqliteEmbedded));
            }

            #[test]
            fn on_sqlite_and_kafka() {
                super::$test(&Place::new(Pair::SqliteKafka));
            }

            #[test]
            fn on_postgres() {
                super::$test(&Place::new(Pair::PostgresEmbedded));
            }

            #[test]
            fn on_postgres_and_kafka() {
                super::$test(&Place::new(Pair::PostgresKafka));
            }
        }
    )+};
}
