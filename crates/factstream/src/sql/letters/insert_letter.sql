-- Keeps an event that waits, raw bytes and all. $1 id, $2 handler, $3 key, $4 state, $5 event id, $6 event type,
-- $7 position in the log, $8 topic, $9 partition, $10 offset, $11 record key, $12 value, $13 headers,
-- $14 recorded at, $15 reason, $16 attempts, $17 dead once, $18 now, $19 identity.
INSERT INTO fs_dead_letters (id, handler, event_key, state, event_id, event_type, position, topic, partition,
                             record_offset, record_key, value, headers, recorded_at, reason, attempts, died,
                             created_at, updated_at, identity)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18, $19)
