//! The SQLite engine proves what every store must prove: each check with a fresh file.

use factstream_conformance::StoreUnderTest;
use factstream_core::store::Store;
use factstream_sqlite::SqliteStore;
use std::sync::Arc;
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }
}

#[async_trait::async_trait]
impl StoreUnderTest for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        let path = self.folder.path().join("conformance.db");
        Arc::new(SqliteStore::open(path).await.expect("the engine opens its file"))
    }
}

factstream_conformance::store_suite!(Sqlite::new);
