-- For the harness in tests/storm only: as insert_events.sql, but the positions come from a sequence.
-- Appends events, all in one statement. $1 positions, $2 aggregate types, $3 aggregate ids, $4 versions, $5 event ids,
-- $6 event types, $7 schema versions, $8 data, $9 metadata, $10 timestamps; arrays of one length.
-- $11 the head after them, which is not looked at: what is not referred to runs last, when the positions are taken.
WITH moved AS (
    UPDATE fs_log
    SET head = (SELECT last_value FROM fs_sabotage_positions) + $11::bigint - $11::bigint
    WHERE id = 1
)
INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data,
                    metadata, timestamp)
SELECT nextval('fs_sabotage_positions'), aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data,
       metadata, timestamp
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::bigint[], $8::json[],
            $9::json[], $10::timestamptz[])
     AS e (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data, metadata,
           timestamp)
