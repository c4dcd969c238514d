-- The next events of many streams of one type, stream by stream. $1 aggregate type, {streams}: the id and the version after which, of
-- each, $2 at most of all.
WITH wanted (id, seen) AS (VALUES {streams})
SELECT e.position, e.aggregate_type, e.aggregate_id, e.version, e.event_id, e.event_type, e.schema_version, e.event_data,
       e.metadata, e.timestamp
FROM wanted w
CROSS JOIN events e
WHERE e.aggregate_type = $1 AND e.aggregate_id = w.id AND e.version > w.seen
ORDER BY e.aggregate_id, e.version
LIMIT $2
