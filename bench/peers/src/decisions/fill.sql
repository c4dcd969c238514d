-- Events as disintegrate-postgres writes them, in this order. $1 their types, $2 payloads, $3 orders.
INSERT INTO event (event_type, payload, order_id)
SELECT event_type, payload, order_id
FROM unnest($1::text[], $2::bytea[], $3::uuid[]) AS e (event_type, payload, order_id)
