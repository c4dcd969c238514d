-- Records of a partition from an offset on. $1 topic, $2 partition, $3 from this offset, $4 at most.
SELECT record_offset, record_key, value, headers, published_at
FROM fs_records
WHERE topic = $1 AND partition = $2 AND record_offset >= $3
ORDER BY record_offset
LIMIT $4
