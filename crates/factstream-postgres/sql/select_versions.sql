-- The versions of streams, those without events left out; each with its place in the arrays, from 1.
-- $1 aggregate types, $2 aggregate ids; arrays of one length.
SELECT s.place, v.version
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS s (aggregate_type, aggregate_id, place)
CROSS JOIN LATERAL (
    SELECT version
    FROM events e
    WHERE e.aggregate_type = s.aggregate_type AND e.aggregate_id = s.aggregate_id
    ORDER BY version DESC
    LIMIT 1
) v
