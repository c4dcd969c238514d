-- Appends events in one statement, provided that the streams are at the versions that are expected: locks the head of the
-- log, moves it, and inserts. Tells the new head, or nothing when nothing was appended. A stream that moves on after the
-- statement began breaks the rule of unique versions, so the statement fails.
-- $1 places behind the head, from 1, $2 aggregate types, $3 aggregate ids, $4 versions, $5 event ids, $6 event types,
-- $7 schema versions, $8 data, $9 metadata, $10 timestamps; arrays of one length.
-- $11 types, $12 ids and $13 versions of the streams as they are expected, 0 for one without events.
-- $14 how many events, $15 the fence, $16 whether the commit is announced.
-- Lines that end with "keys" are left out when there are no idempotency keys: $17 keys, $18 fingerprints,
-- $19 aggregate types, $20 aggregate ids, $21 versions, $22 places of their outcomes; arrays of one length. $23 now.
WITH moved AS (
    UPDATE fs_log SET head = head + $14::bigint
    WHERE id = 1 AND fence = $15::bigint AND NOT EXISTS (
        SELECT FROM unnest($11::text[], $12::text[], $13::bigint[]) AS s (aggregate_type, aggregate_id, version)
        WHERE s.version <> coalesce((
            SELECT e.version
            FROM events e
            WHERE e.aggregate_type = s.aggregate_type AND e.aggregate_id = s.aggregate_id
            ORDER BY e.version DESC
            LIMIT 1), 0)
        OR (SELECT EXISTS (SELECT FROM fs_horizons)) AND EXISTS (
            SELECT FROM fs_horizons h
            WHERE h.aggregate_type = s.aggregate_type AND h.aggregate_id = s.aggregate_id AND h.version > s.version))
    AND NOT EXISTS (SELECT FROM fs_command_keys WHERE key = ANY ($17::text[]))                             -- keys
    RETURNING head
), inserted AS (
    INSERT INTO events (position, aggregate_type, aggregate_id, version, event_id, event_type, schema_version, event_data,
                        metadata, timestamp)
    SELECT moved.head - $14::bigint + unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bigint[]),
           unnest($5::uuid[]), unnest($6::text[]), unnest($7::bigint[]), unnest($8::json[]), unnest($9::json[]),
           unnest($10::timestamptz[])
    FROM moved
), recorded AS (                                                                                           -- keys
    INSERT INTO fs_command_keys (key, fingerprint, aggregate_type, aggregate_id, version, position,        -- keys
                                 recorded_at)                                                              -- keys
    SELECT key, fingerprint, aggregate_type, aggregate_id, version, moved.head - $14::bigint + k.place,    -- keys
           $23::text                                                                                       -- keys
    FROM moved, unnest($17::text[], $18::text[], $19::text[], $20::text[], $21::bigint[], $22::bigint[])   -- keys
         AS k (key, fingerprint, aggregate_type, aggregate_id, version, place)                             -- keys
)
SELECT head,
       CASE WHEN $16::boolean THEN pg_notify('factstream_' || 'fs_log'::regclass::oid::text, head::text) END AS announced
FROM moved
