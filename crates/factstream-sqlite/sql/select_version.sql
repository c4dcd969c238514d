-- The version of a stream: its newest event's. ?1 aggregate type, ?2 aggregate id.
SELECT version
FROM events
WHERE aggregate_type = ?1 AND aggregate_id = ?2
ORDER BY version DESC
LIMIT 1
