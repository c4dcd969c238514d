//! TLS and passwords, against servers that demand them.
#![cfg(feature = "tls")]
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{append, refused};
use factstream_core::params;
use factstream_core::store::{Store, StoreError};
use factstream_postgres::PostgresStore;
use factstream_tests::postgres::{Kind, Postgres, server};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const PASSWORD: &str = "s3cret-w0rd";

fn demanding() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Postgres::start_with_tls(Kind::Signed);
        server.run(&format!("CREATE ROLE guest LOGIN SUPERUSER PASSWORD '{PASSWORD}'"));
        server
    })
}

/// A URL to a new database by the name that the certificate has.
fn url(server: &Postgres, query: &str) -> String {
    format!("{}?hostaddr=127.0.0.1&{query}", server.database().replace("@127.0.0.1", "@localhost"))
}

fn root(server: &Postgres) -> String {
    format!("sslrootcert={}", server.certificates().root.display())
}

fn other_root(server: &Postgres) -> String {
    format!("sslrootcert={}", server.certificates().other_root.display())
}

/// Opens, appends, listens and cancels: every place that connects.
async fn works(url: &str) {
    let store = PostgresStore::open_url(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    store.append(append("a"), None).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let sql = "SELECT count(*) AS n FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
               WHERE ssl AND datname = current_database() AND application_name = 'factstream listener'";
    let listeners = async || store.query(sql, params![]).await.unwrap()[0].get::<i64>("n").unwrap();
    while listeners().await != 1 {
        assert!(Instant::now() < deadline, "no listener");
    }
    let mut tx = store.begin().await.unwrap();
    let cancelled = tokio::spawn(async move { tx.query("SELECT pg_sleep(25)", params![]).await });
    let asleep = async |n: i64| {
        let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' \
                   AND state = 'active' AND datname = current_database()";
        while store.query(sql, params![]).await.unwrap()[0].get::<i64>("n").unwrap() != n {
            assert!(Instant::now() < deadline, "not {n}");
        }
    };
    asleep(1).await;
    cancelled.abort();
    asleep(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_demands_tls_is_reached_and_its_certificate_checked_as_asked() {
    let server = demanding();
    works(&url(server, &format!("sslmode=verify-full&{}", root(server)))).await;
    works(&url(server, &format!("sslmode=verify-ca&{}", root(server)))).await;
    works(&url(server, &format!("sslmode=require&{}", root(server)))).await;
    works(&url(server, "sslmode=require")).await;
    works(&url(server, "sslmode=prefer")).await;
    works(&url(server, "")).await;
    // The address is not in the certificate: good enough for verify-ca.
    works(&format!("{}?sslmode=verify-ca&{}", server.database(), root(server))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_its_own_root_is_trusted_when_it_is_given_and_only_then() {
    let server = Postgres::start_with_tls(Kind::SelfSigned);
    works(&url(&server, &format!("sslmode=verify-full&{}", root(&server)))).await;
    let error = refused(&url(&server, &format!("sslmode=verify-ca&{}", other_root(&server)))).await;
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
    let error = refused(&format!("{}?sslmode=verify-full&{}", server.database(), root(&server))).await;
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_tls_is_told_with_what_to_do() {
    let server = demanding();
    let missing = "sslmode=verify-full&sslrootcert=/nowhere/root.crt";
    let not_pem = format!("sslmode=verify-full&sslrootcert={}", file!());
    for (url, words) in [
        (url(server, &format!("sslmode=verify-full&{}", other_root(server))), "sslrootcert=FILE"),
        (url(server, &format!("sslmode=verify-ca&{}", other_root(server))), "no trusted root has signed it"),
        (url(server, &format!("sslmode=require&{}", other_root(server))), "no trusted root has signed it"),
        (url(server, "sslmode=verify-full"), "sslrootcert=FILE"),
        (format!("{}?sslmode=verify-full&{}", server.database(), root(server)), "localhost"),
        (url(server, "sslmode=disable"), "use sslmode=require or verify-full"),
        (url(server, missing), "/nowhere/root.crt"),
        (url(server, &not_pem), "sslrootcert"),
        (url(server, "sslmode=allow"), "verify-full"),
        (format!("{}?sslmode=require", self::server().database()), "does not support TLS"),
    ] {
        let error = refused(&url).await;
        assert!(matches!(error, StoreError::Unusable { .. } | StoreError::Url { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_taken_or_refused_and_never_printed() {
    let server = demanding();
    let with = |user: &str| url(server, "sslmode=require").replace("factstream@", user);
    works(&with(&format!("guest:{PASSWORD}@"))).await;
    for (user, words) in [
        (format!("guest:{PASSWORD}x@"), "password authentication failed"),
        (format!("nobody:{PASSWORD}@"), "password authentication failed"),
        ("guest@".to_owned(), "USER:PASSWORD"),
    ] {
        let error = refused(&with(&user)).await;
        assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains(words) && !error.to_string().contains("s3cret"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}
