-- Publishes one record. $1 topic, $2 partition, $3 offset, $4 key, $5 value, $6 headers, $7 published at.
INSERT INTO fs_records (topic, partition, record_offset, record_key, value, headers, published_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
