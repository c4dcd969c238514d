//! The embedded broker proves what every broker must prove, on a fresh SQLite file for each check.
#![allow(missing_docs)]

use factstream::App;
use factstream_conformance::BrokerUnderTest;
use factstream_core::broker::Broker;
use std::sync::Arc;
use tempfile::TempDir;

struct OnSqlite {
    folder: TempDir,
    namespace: &'static str,
}

impl OnSqlite {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder"), namespace: "" }
    }

    fn in_a_namespace() -> Self {
        Self { namespace: "eu.", ..Self::new() }
    }
}

#[async_trait::async_trait]
impl BrokerUnderTest for OnSqlite {
    async fn open(&self) -> Arc<dyn Broker> {
        let url = format!("sqlite://{}", self.folder.path().join("topics.db").display());
        let app = App::builder(url).namespace(self.namespace).open().await.expect("the store opens");
        Arc::clone(app.broker())
    }
}

factstream_conformance::broker_suite!(OnSqlite::new);

mod in_a_namespace {
    use super::OnSqlite;

    factstream_conformance::broker_suite!(OnSqlite::in_a_namespace);
}
