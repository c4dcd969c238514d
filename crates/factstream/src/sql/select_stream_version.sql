-- The version of a stream, 0 without events. $1 aggregate type, $2 aggregate id.
SELECT coalesce(max(version), 0) AS version
FROM events
WHERE aggregate_type = $1 AND aggregate_id = $2
