//! What every engine must prove: checks of the guarantees over the ports, one file per guarantee.
//!
//! A check is a plain public async function over a [`StoreUnderTest`] or a [`BrokerUnderTest`]; it panics with the
//! guarantee that is broken and what was seen. An engine runs all of them with a constructor alone:
//!
//! ```ignore
//! struct Sqlite { folder: tempfile::TempDir }
//!
//! #[async_trait]
//! impl StoreUnderTest for Sqlite {
//!     async fn open(&self) -> Arc<dyn Store> { /* the same file each time */ }
//! }
//!
//! factstream_conformance::store_suite!(Sqlite::new); // one #[tokio::test] per check, each with a fresh store
//! ```
//!
//! The caller's crate needs `tokio` with the features `macros` and `rt-multi-thread`.
//!
//! Invariants: checks use the ports alone; their SQL is understood by every engine; every `pub async fn` of a check
//! file is listed in the suite's macro (a test sees to it); nothing sleeps, waits are for conditions with a deadline.

// A check tells by a panic, each and every one.
#![allow(clippy::missing_panics_doc)]

pub mod broker;
pub mod store;
pub mod support;

use async_trait::async_trait;
use factstream_core::broker::Broker;
use factstream_core::store::Store;
use std::sync::Arc;

/// One set of data of a store engine: empty when it is made, gone when it is dropped.
#[async_trait]
pub trait StoreUnderTest: Send + Sync + 'static {
    /// Opens the store. Each call opens a handle of its own on the same data, as another process would.
    async fn open(&self) -> Arc<dyn Store>;
}

/// One set of data of a broker engine: empty when it is made, gone when it is dropped.
///
/// The checks use topics and groups with names of their own, so one running broker may serve all checks.
#[async_trait]
pub trait BrokerUnderTest: Send + Sync + 'static {
    /// Opens the broker. Each call opens a handle of its own on the same data, as another process would.
    async fn open(&self) -> Arc<dyn Broker>;
}

/// Makes a test of each check. Called by [`store_suite!`] and [`broker_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! suite {
    ($new:expr, $port:ident, $($file:ident { $($check:ident),* $(,)? })*) => {
        mod $port {$(
            mod $file {
                #[allow(unused_imports, clippy::wildcard_imports)]
                use super::super::*;
                $(
                    #[::tokio::test(flavor = "multi_thread", worker_threads = 4)]
                    async fn $check() {
                        let under_test = ($new)();
                        let check = $crate::$port::$file::$check(&under_test);
                        $crate::support::bounded(stringify!($check), check).await;
                    }
                )*
            }
        )*}
    };
}

#[cfg(test)]
mod tests {
    /// The checks that a suite's macro lists, and the public async functions of its check files.
    fn assert_all_listed(suite: &str, files: &[(&str, &str)]) {
        for (file, source) in files {
            let at =
                suite.find(&format!("{file} {{")).unwrap_or_else(|| panic!("{file} is not in the suite"));
            let listed = &suite[at..at + suite[at..].find('}').unwrap()];
            for line in source.lines() {
                let Some(name) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next())
                else {
                    continue;
                };
                let found = listed.split([' ', ',', '\n', '{']).any(|word| word == name);
                assert!(found, "{file}::{name} is not listed in the suite's macro, so no engine runs it");
            }
        }
    }

    macro_rules! sources {
        ($folder:literal: $($file:literal),* $(,)?) => {
            [$(($file, include_str!(concat!($folder, "/", $file, ".rs")))),*]
        };
    }

    #[test]
    fn every_store_check_is_in_the_suite() {
        let files = sources!("store": "g1_durable", "g2_one_winner", "g3_log", "g4_keys", "transaction", "statements",
            "waiting", "hostile", "two_handles");
        assert_all_listed(include_str!("store/mod.rs"), &files);
    }

    #[test]
    fn every_broker_check_is_in_the_suite() {
        let files = sources!("broker": "g5_order", "groups", "lag", "waiting", "hostile");
        assert_all_listed(include_str!("broker/mod.rs"), &files);
    }
}
