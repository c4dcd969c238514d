-- The events of the log after one position up to another, in order. $1 after, $2 up to.
SELECT position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data, metadata,
       timestamp
FROM events
WHERE position > $1 AND position <= $2
ORDER BY position
