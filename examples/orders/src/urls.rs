//! Which store and which broker a command works on: from its options, a file or the environment.
//!
//! | | option | file | environment | file named there | else |
//! |---|---|---|---|---|---|
//! | store | `--store` | `--store-file` | `FACTSTREAM_STORE` | `FACTSTREAM_STORE_FILE` | `sqlite://orders.db` |
//! | broker | `--broker` | `--broker-file` | `FACTSTREAM_BROKER` | `FACTSTREAM_BROKER_FILE` | `embedded` |
//!
//! The one further to the left wins. Two of one place (an option and its file, a variable and its file) are refused.

use crate::Failed;
use clap::Args;
use factstream::Error;
use factstream::broker::BrokerError;
use factstream::setting::{self, Given};
use factstream::store::StoreError;
use std::path::PathBuf;

/// The store that every command uses unless told otherwise.
pub const STORE: &str = "sqlite://orders.db";
/// The broker that every command uses unless told otherwise.
pub const BROKER: &str = "embedded";

/// `--store`, `--store-file`
#[derive(Debug, Clone, Default, Args)]
pub struct StoreUrl {
    /// Where the events are kept [environment: FACTSTREAM_STORE; else sqlite://orders.db]
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// A file that holds the store's URL, for one with a password [environment: FACTSTREAM_STORE_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub store_file: Option<PathBuf>,
}

/// `--broker`, `--broker-file`
#[derive(Debug, Clone, Default, Args)]
pub struct BrokerUrl {
    /// Where the topics are kept: `embedded` keeps them in the store; or kafka://HOST:9092 [environment: FACTSTREAM_BROKER; else
    /// embedded]
    #[arg(long, global = true, value_name = "URL")]
    pub broker: Option<String>,
    /// A file that holds the broker's URL, for one with a password [environment: FACTSTREAM_BROKER_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub broker_file: Option<PathBuf>,
}

impl StoreUrl {
    /// The store's URL and where it comes from.
    ///
    /// # Errors
    /// When two are given in one place, or a file cannot be used.
    pub fn find(self) -> Result<Given, Error> {
        Ok(setting::url("store", self.store, self.store_file)?.unwrap_or_else(|| given(STORE)))
    }

    /// The store's URL from the options alone, for what must never work on the store of the environment by mistake.
    ///
    /// # Errors
    /// As [`StoreUrl::find`].
    pub fn find_in_options(self) -> Result<Option<Given>, Error> {
        match (&self.store, &self.store_file) {
            (None, None) => Ok(None),
            _ => self.find().map(Some),
        }
    }
}

impl BrokerUrl {
    /// The broker's URL and where it comes from.
    ///
    /// # Errors
    /// As [`StoreUrl::find`].
    pub fn find(self) -> Result<Given, Error> {
        self.find_or(BROKER)
    }

    /// As [`BrokerUrl::find`], with another default.
    ///
    /// # Errors
    /// As [`StoreUrl::find`].
    pub fn find_or(self, default: &str) -> Result<Given, Error> {
        Ok(setting::url("broker", self.broker, self.broker_file)?.unwrap_or_else(|| given(default)))
    }
}

impl BrokerUrl {
    /// As [`StoreUrl::find_in_options`].
    ///
    /// # Errors
    /// As [`StoreUrl::find`].
    pub fn find_in_options(self) -> Result<Option<Given>, Error> {
        match (&self.broker, &self.broker_file) {
            (None, None) => Ok(None),
            _ => self.find().map(Some),
        }
    }
}

fn given(default: &str) -> Given {
    Given { url: default.to_owned(), from: "the default".to_owned() }
}

/// An error of opening; one about a URL says where that URL comes from.
pub fn explain(error: Error, store: &Given, broker: &Given) -> Failed {
    match &error {
        Error::Store(StoreError::Url { .. }) => format!("{error} (the URL comes from {})", store.from).into(),
        Error::Broker(BrokerError::Url { .. }) => {
            format!("{error} (the URL comes from {})", broker.from).into()
        }
        _ => error.into(),
    }
}
