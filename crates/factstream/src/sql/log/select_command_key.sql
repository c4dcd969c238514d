-- The first outcome of an idempotency key. $1 key.
SELECT fingerprint, aggregate_type, aggregate_id, version, position
FROM fs_command_keys
WHERE key = $1
