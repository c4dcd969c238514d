//! A leaf is the same on every engine: a log that was sealed on SQLite verifies on PostgreSQL.

use super::common::Shop;
use super::sealed::{append, run, seal, verify};
use factstream::seals::Finding;
use factstream::sql::{Params, Value};
use factstream::{App, params};

/// The rows of a table, as a copy takes them.
async fn rows(app: &App, table: &str, columns: &str) -> Vec<Params> {
    let rows = app.store().query(&format!("SELECT {columns} FROM {table}"), params![]).await.unwrap();
    rows.iter().map(|row| row.values().to_vec()).collect()
}

#[tokio::test]
async fn a_log_that_is_copied_from_sqlite_to_postgresql_verifies_with_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let here = Shop::at(format!("sqlite://{}", dir.path().join("here.db").display()));
    let there = Shop::at(factstream_tests::postgres::server().database());
    let (from, to) = (here.open().await, there.open().await);
    append(&from, 0, 1_500).await;
    seal(&here).await;
    let checkpoint = [from.seals().checkpoint().await.unwrap()];

    let mut tx = to.begin().await.unwrap();
    for event in from.read_log(0, 10_000).await.unwrap() {
        let sql = "INSERT INTO events VALUES ($1, $2, $3, $4, CAST(CAST($5 AS TEXT) AS UUID), $6, $7, \
                   CAST(CAST($8 AS TEXT) AS JSON), CAST(CAST($9 AS TEXT) AS JSON), CAST(CAST($10 AS TEXT) AS TIMESTAMPTZ))";
        let values = params![
            event.position,
            event.aggregate_type,
            event.aggregate_id,
            event.version,
            event.event_id,
            event.event_type,
            event.schema_version,
            event.data,
            event.metadata,
            event.timestamp,
        ];
        tx.sql(sql, values).await.unwrap();
    }
    for row in rows(&from, "fs_seals", "size, form, leaves, peaks, root, sealed_at").await {
        tx.sql("INSERT INTO fs_seals (size, form, leaves, peaks, root, sealed_at) VALUES ($1, $2, $3, $4, $5, $6)", row)
            .await
            .unwrap();
    }
    for row in rows(&from, "fs_seal_salts", "size, salts").await {
        tx.sql("INSERT INTO fs_seal_salts (size, salts) VALUES ($1, $2)", row).await.unwrap();
    }
    tx.sql("UPDATE fs_store SET store_id = $1", params![from.store_id()]).await.unwrap();
    tx.sql("UPDATE fs_log SET head = 1500", params![]).await.unwrap();
    tx.commit().await.unwrap();

    let to = there.open().await; // under the id of the other
    let verification = verify(&to, &checkpoint).await;
    assert!(verification.passes(), "{verification}");
    assert_eq!(verification.intact, 1_500);
    let one: Vec<(&str, Vec<Value>)> = vec![(
        "UPDATE events SET timestamp = timestamp + INTERVAL '1 microsecond' WHERE position = 1400",
        params![],
    )];
    run(&to, one).await;
    assert_eq!(verify(&to, &checkpoint).await.findings, [Finding::Changed { position: 1_400 }]);
}
