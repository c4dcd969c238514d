//! The embedded broker proves what every broker must prove, on a fresh SQLite file for each check.
#![allow(missing_docs)]

use factstream::App;
use factstream_conformance::BrokerUnderTest;
use factstream_core::broker::Broker;
use std::sync::Arc;
use tempfile::TempDir;

struct OnSqlite {
    folder: TempDir,
}

impl OnSqlite {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }
}

#[async_trait::async_trait]
impl BrokerUnderTest for OnSqlite {
    async fn open(&self) -> Arc<dyn Broker> {
        let url = format!("sqlite://{}", self.folder.path().join("topics.db").display());
        let app = App::open(url).await.expect("the store opens");
        Arc::clone(app.broker())
    }
}

factstream_conformance::broker_suite!(OnSqlite::new);
