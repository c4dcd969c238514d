-- The newest snapshot of a stream. $1 aggregate type, $2 aggregate id.
SELECT version, schema_version, state
FROM fs_snapshots
WHERE aggregate_type = $1 AND aggregate_id = $2
