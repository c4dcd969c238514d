-- The events of a stream after a version, in order. $1 aggregate type, $2 aggregate id, $3 after, $4 at most.
SELECT position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data::text,
       metadata::text, timestamp
FROM events
WHERE aggregate_type = $1 AND aggregate_id = $2 AND version > $3
ORDER BY version
LIMIT $4
