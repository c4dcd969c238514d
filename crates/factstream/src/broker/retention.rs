//! Which records of the embedded topics are kept, and for whom.
//!
//! Invariants: a record goes when it is older than the limit and every group of its topic has read it; a group counts from when
//! it is declared, also while nobody runs it. Records go oldest first, so what is left has no gap. Both sides hold the
//! partition's row: no group begins where records are going.

use super::{Embedded, commit};
use crate::statements as sql;
use factstream_core::broker::BrokerError;
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::StoreError;
use jiff::Timestamp;

/// What can go of one partition.
struct Trimmable {
    topic: String,
    partition: u32,
    oldest: i64,
    /// The offset that every group has come to.
    read_to: i64,
}

impl Trimmable {
    fn of_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            topic: row.get("topic")?,
            partition: row.get("partition")?,
            oldest: row.get("oldest_offset")?,
            read_to: row.get("read_to")?,
        })
    }
}

impl Embedded {
    /// Notes that a group reads these topics, from their oldest records on: from now on none of them goes before it has
    /// read it. A group that is new where records are gone already is told in the log.
    pub(crate) async fn begin_group(&self, group: &str, topics: &[String]) -> Result<(), BrokerError> {
        for topic in topics {
            if self.has_begun(group, topic).await? {
                continue;
            }
            let mut tx = self.store.begin().await?;
            let sql = "UPDATE fs_partitions SET oldest_offset = oldest_offset WHERE topic = $1";
            tx.execute(sql, params![topic]).await?;
            tx.execute(sql::BEGIN_GROUP, params![group, topic]).await?;
            let sql = "SELECT CAST(coalesce(sum(missed), 0) AS BIGINT) AS missed FROM fs_group_starts \
                       WHERE group_name = $1 AND topic = $2";
            let rows = tx.query(sql, params![group, topic]).await?;
            let missed: u64 =
                rows.first().map_or(Ok(0), |row| row.get("missed")).map_err(StoreError::from)?;
            commit(tx).await?;
            if missed > 0 {
                tracing::warn!(
                    group,
                    topic,
                    missed,
                    "a new group begins after records that retention has deleted already"
                );
            }
        }
        Ok(())
    }

    /// How many records a group has not read of the topics that it has begun.
    pub(crate) async fn unread_of_begun(&self, group: &str) -> Result<u64, BrokerError> {
        let rows = self.store.query(sql::SELECT_UNREAD_OF_GROUP, params![group]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.get("unread")).map_err(StoreError::from)?)
    }

    async fn has_begun(&self, group: &str, topic: &str) -> Result<bool, BrokerError> {
        let sql = "SELECT count(*) AS missing FROM fs_partitions p WHERE p.topic = $2 AND NOT EXISTS (SELECT 1 \
                   FROM fs_group_starts s WHERE s.group_name = $1 AND s.topic = p.topic AND s.partition = p.partition)";
        let rows = self.store.query(sql, params![group, topic]).await?;
        let missing: u64 = rows.first().map_or(Ok(0), |row| row.get("missing")).map_err(StoreError::from)?;
        Ok(missing == 0)
    }

    /// Deletes records that were published before `before` and that every group of their topic has read, at most `records_max`;
    /// how many. A group counts from when it is declared.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn trim(&self, before: Timestamp, records_max: u32) -> Result<u64, BrokerError> {
        let rows = self.store.query(sql::SELECT_TRIMMABLE, params![before]).await?;
        let mut deleted = 0;
        for row in &rows {
            let left = u64::from(records_max).saturating_sub(deleted);
            if left > 0 {
                deleted += self.trim_partition(&Trimmable::of_row(row)?, before, left).await?;
            }
        }
        tracing::debug!(deleted, "trimmed the embedded broker's topics");
        Ok(deleted)
    }

    async fn trim_partition(
        &self,
        found: &Trimmable,
        before: Timestamp,
        records_max: u64,
    ) -> Result<u64, BrokerError> {
        let (topic, partition) = (&found.topic, found.partition);
        let mut tx = self.store.begin().await?;
        let lock =
            "UPDATE fs_partitions SET oldest_offset = oldest_offset WHERE topic = $1 AND partition = $2";
        tx.execute(lock, params![topic, partition]).await?;
        // Looked at again under the lock: a group may have begun meanwhile.
        let rows = tx.query(sql::SELECT_TRIMMABLE, params![before]).await?;
        let now = rows.iter().map(Trimmable::of_row).collect::<Result<Vec<_>, _>>()?;
        let now = now.into_iter().find(|now| now.topic == *topic && now.partition == partition);
        let Some(Trimmable { oldest, read_to, .. }) = now else { return Ok(0) };
        let end = read_to.min(oldest.saturating_add_unsigned(records_max));
        let rows = tx.query(sql::SELECT_FIRST_NEWER, params![topic, partition, oldest, end, before]).await?;
        let newer: Option<i64> =
            rows.first().map_or(Ok(None), |row| row.get("newer")).map_err(StoreError::from)?;
        let upto = newer.unwrap_or(end);
        let sql = "DELETE FROM fs_records WHERE topic = $1 AND partition = $2 AND record_offset < $3";
        let deleted = tx.execute(sql, params![topic, partition, upto]).await?;
        let sql = "UPDATE fs_partitions SET oldest_offset = $3 WHERE topic = $1 AND partition = $2 AND oldest_offset < $3";
        tx.execute(sql, params![topic, partition, upto]).await?;
        commit(tx).await?;
        Ok(deleted)
    }
}
