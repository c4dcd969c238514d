-- The first outcomes of idempotency keys. $1 keys.
SELECT key, fingerprint, aggregate_type, aggregate_id, version, position
FROM fs_command_keys
WHERE key = ANY ($1::text[])
