-- The events of the log after a position, in order. $1 after, $2 at most.
SELECT position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data::text,
       metadata::text, timestamp
FROM events
WHERE position > $1
ORDER BY position
LIMIT $2
