//! What the contests on PostgreSQL share: connections, a log filled by COPY, and counts of what came of a run.

use crate::Failed;
use crate::workload::{Ids, RawEvent};
use std::error::Error;
use std::pin::pin;
use std::time::SystemTime;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls};

const COPY: &str =
    "COPY events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp) FROM STDIN (FORMAT binary)";
const COPIED: [Type; 10] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::INT8,
    Type::UUID,
    Type::TEXT,
    Type::INT8,
    Type::JSON,
    Type::JSON,
    Type::TIMESTAMPTZ,
];

/// JSON that is text already.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) String);

impl ToSql for Json {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

pub(crate) async fn connect(url: &str) -> Result<Client, Failed> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("bench: a connection to PostgreSQL ended: {error}");
        }
    });
    Ok(client)
}

/// Fills a log that factstream has made and that is empty, as if it had always been so long: what the server would still do for
/// new rows is done, and written to the disk.
pub(crate) async fn fill(url: &str, orders: u64) -> Result<(), Failed> {
    let mut client = connect(url).await?;
    let tx = client.transaction().await?;
    let mut rows = pin!(BinaryCopyInWriter::new(tx.copy_in(COPY).await?, &COPIED));
    let mut head = 0_i64;
    for event in RawEvent::all(Ids::new(), orders) {
        head += 1;
        let RawEvent { aggregate_id, version, event_id, event_type, data, metadata, .. } = event;
        let (data, metadata, now) = (Json(data), Json(metadata), SystemTime::now());
        rows.as_mut()
            .write(&[
                &head,
                &"order",
                &aggregate_id,
                &version,
                &event_id,
                &event_type,
                &1_i64,
                &data,
                &metadata,
                &now,
            ])
            .await?;
    }
    rows.finish().await?;
    tx.execute("UPDATE fs_log SET head = $1", &[&head]).await?;
    tx.commit().await?;
    settle(&client).await
}

/// Does now what autovacuum and the checkpointer would do during a measurement.
pub(crate) async fn settle(client: &Client) -> Result<(), Failed> {
    client.batch_execute("VACUUM (FREEZE, ANALYZE) events").await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

/// Fails unless the log has this many orders, each created and shipped.
pub(crate) async fn check_events(client: &Client, orders: u64) -> Result<(), Failed> {
    let sql = "SELECT count(*) FILTER (WHERE version = 1), count(*) FILTER (WHERE version = 2), count(*) FROM events";
    let row = client.query_one(sql, &[]).await?;
    let (created, shipped, all): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let wanted = orders.cast_signed();
    match (created, shipped, all) == (wanted, wanted, wanted * 2) {
        true => Ok(()),
        false => {
            Err(format!("{created} created, {shipped} shipped, {all} events; {orders} orders were to be")
                .into())
        }
    }
}

/// Fails unless the read model has this many orders, all shipped.
pub(crate) async fn check_rows(client: &Client, table: &str, orders: u64) -> Result<(), Failed> {
    let sql = format!("SELECT count(*), count(shipped_at) FILTER (WHERE status = 'SHIPPED') FROM {table}");
    let row = client.query_one(&sql, &[]).await?;
    let (rows, shipped): (i64, i64) = (row.get(0), row.get(1));
    match (rows, shipped) == (orders.cast_signed(), orders.cast_signed()) {
        true => Ok(()),
        false => Err(format!("{rows} rows, {shipped} shipped; {orders} were to be").into()),
    }
}
