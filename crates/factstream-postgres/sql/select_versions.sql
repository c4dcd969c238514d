-- The versions of streams, also of those whose events were deleted; those that never had any are left out. Each with its place
-- in the arrays, from 1. $1 aggregate types, $2 aggregate ids; arrays of one length.
SELECT s.place, v.version
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (aggregate_type, aggregate_id, place)
CROSS JOIN LATERAL (
    SELECT greatest((
        SELECT e.version
        FROM events e
        WHERE e.aggregate_type = s.aggregate_type AND e.aggregate_id = s.aggregate_id
        ORDER BY e.version DESC
        LIMIT 1), (
        SELECT h.version
        FROM fs_horizons h
        WHERE h.aggregate_type = s.aggregate_type AND h.aggregate_id = s.aggregate_id)) AS version
) v
WHERE v.version IS NOT NULL
