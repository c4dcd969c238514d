//! What is no file of its own, or carries another application's mark, is refused before anything is written.
#![allow(missing_docs, clippy::unwrap_used)]

use factstream_core::store::StoreError;
use factstream_sqlite::SqliteStore;
use tempfile::tempdir;

#[tokio::test]
async fn a_path_that_sqlite_would_keep_in_memory_is_refused() {
    // Each connection would have a database of its own: what was appended would be read by nobody, and lost.
    for path in ["", ":memory:", "file::memory:?cache=shared", "file:orders.db"] {
        match SqliteStore::open(path).await {
            Err(StoreError::Unusable { reason, .. }) => {
                assert!(reason.contains("orders.db"), "{path:?}: {reason}");
            }
            Err(other) => panic!("{path:?}: another error: {other}"),
            Ok(_) => panic!("{path:?} was opened"),
        }
    }
}

#[tokio::test]
async fn a_database_without_tables_that_bears_another_mark_is_foreign() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("other.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA application_id = 1196444487; VACUUM").unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.err().unwrap().to_string();
    assert!(error.contains("another application's database"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "it was changed");
}
