-- Events as postgres-es writes them. $1 their orders, $2 sequences, $3 types, $4 payloads.
INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
SELECT 'order', aggregate_id, sequence, event_type, '1.0', payload, '{}'
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::json[]) AS e (aggregate_id, sequence, event_type, payload)
