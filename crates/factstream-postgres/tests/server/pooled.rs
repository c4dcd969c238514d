//! Through a real PgBouncer: by sessions everything works; by transactions nothing could, which is said when the store is opened.

use crate::common::{append, connect, log, number, refused};
use factstream_core::params;
use factstream_core::store::{Commit, Outcome, Store};
use factstream_postgres::PostgresStore;
use factstream_tests::pgbouncer::PgBouncer;
use factstream_tests::postgres::server;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_by_sessions_works_and_its_dropped_options_are_in_force() {
    let direct = server().database();
    let name = direct.rsplit_once('/').unwrap().1;
    server().run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let pooler = PgBouncer::before(server(), "session");
    let url = format!("{}?options=-c%20work_mem%3D7MB", pooler.url(&direct));
    let store = PostgresStore::open_url(&url).await.unwrap();
    let other = PostgresStore::open_url(&direct).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for (name, value) in [("synchronous_commit", "on"), ("work_mem", "7MB"), ("lock_timeout", "10s")] {
        let rows = tx.query(&format!("SHOW {name}"), params![]).await.unwrap();
        assert_eq!(rows[0].at::<String>(0).unwrap(), value, "{name}");
    }
    assert!(matches!(tx.commit(vec![append("a")]).await.unwrap(), Commit::Committed(_)));
    let appending: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(append(&format!("{n}")), None).await })
        })
        .collect();
    for done in appending {
        assert!(matches!(done.await.unwrap().unwrap(), Outcome::Appended(_)));
    }
    other.append(append("elsewhere"), None).await.unwrap();
    assert_eq!(store.wait_beyond(21, Duration::from_secs(10)).await.unwrap(), 22, "others are heard");
    assert_eq!(log(&store).await.len(), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_by_transactions_or_statements_is_refused_with_the_reason_and_nothing_is_made() {
    for mode in ["transaction", "statement"] {
        let direct = server().database();
        let pooler = PgBouncer::before(server(), mode);
        let error = refused(&pooler.url(&direct)).await.to_string();
        assert!(error.contains("pool_mode = session"), "{mode}: {error}");
        let made = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(number(&connect(&direct).await, made).await, 0, "{mode}");
    }
}
