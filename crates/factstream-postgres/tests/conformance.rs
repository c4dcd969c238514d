//! The PostgreSQL engine proves what every store must prove, on a real server: each check with a fresh database.
#![allow(missing_docs)]

use factstream_conformance::StoreUnderTest;
use factstream_core::store::Store;
use factstream_postgres::{Options, PostgresStore};
use std::sync::Arc;

struct OnServer {
    url: String,
}

impl OnServer {
    fn new() -> Self {
        Self { url: factstream_tests::postgres::server().database() }
    }
}

#[async_trait::async_trait]
impl StoreUnderTest for OnServer {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(
            PostgresStore::open_with(&self.url, Options::default())
                .await
                .expect("the engine opens its database"),
        )
    }
}

factstream_conformance::store_suite!(OnServer::new);
