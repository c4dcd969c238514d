-- The first record of a stretch that was published at a time or later, if there is one: what is before it is older.
-- $1 topic, $2 partition, $3 from this offset, $4 before this offset, $5 the time.
SELECT min(record_offset) AS newer
FROM fs_records
WHERE topic = $1 AND partition = $2 AND record_offset >= $3 AND record_offset < $4 AND published_at >= $5
