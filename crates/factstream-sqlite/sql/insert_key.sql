-- Records the first outcome of an idempotency key. ?1 key, ?2 fingerprint, ?3 aggregate type, ?4 aggregate id,
-- ?5 version, ?6 position, ?7 now.
INSERT INTO fs_command_keys (key, fingerprint, aggregate_type, aggregate_id, version, position, recorded_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
