-- Records the first outcome of idempotency keys. $1 keys, $2 fingerprints, $3 aggregate types, $4 aggregate ids,
-- $5 versions, $6 positions; arrays of one length. $7 now.
INSERT INTO fs_command_keys (key, fingerprint, aggregate_type, aggregate_id, version, position, recorded_at)
SELECT key, fingerprint, aggregate_type, aggregate_id, version, position, $7::text
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
     AS k (key, fingerprint, aggregate_type, aggregate_id, version, position)
