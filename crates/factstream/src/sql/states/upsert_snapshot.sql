-- Keeps the newest snapshot of a stream; an older one never replaces a newer one of the same shape.
-- $1 aggregate type, $2 aggregate id, $3 version, $4 schema version, $5 state, $6 now.
INSERT INTO fs_snapshots (aggregate_type, aggregate_id, version, schema_version, state, taken_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE
SET version = excluded.version, schema_version = excluded.schema_version, state = excluded.state,
    taken_at = excluded.taken_at
WHERE fs_snapshots.version < excluded.version OR fs_snapshots.schema_version <> excluded.schema_version
