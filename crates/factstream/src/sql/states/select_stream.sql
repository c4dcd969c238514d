-- The events of a stream after a version. $1 aggregate type, $2 aggregate id, $3 after this version, $4 at most.
SELECT position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data, metadata,
       timestamp
FROM events
WHERE aggregate_type = $1 AND aggregate_id = $2 AND version > $3
ORDER BY version
LIMIT $4
