-- Records of a partition from an offset on. $1 topic, $2 partition, $3 from this offset, $4 at most, $5 at most so many bytes but
-- for the last one.
SELECT record_offset, record_key, value, headers, published_at
FROM (
    SELECT record_offset, record_key, value, headers, published_at,
           sum(coalesce(length(value), 0) + length(headers)) OVER (ORDER BY record_offset) AS bytes
    FROM fs_records
    WHERE topic = $1 AND partition = $2 AND record_offset >= $3
    ORDER BY record_offset
    LIMIT $4
) AS r
WHERE bytes - coalesce(length(value), 0) - length(headers) < $5
ORDER BY record_offset
