-- What an instance has taken after a version, in order, with the events from the log. $1 process, $2 its id, $3 after this version,
-- $4 at most.
SELECT h.version AS step, h.kind, h.input_id, h.input, h.acts, h.at, h.position AS input_position,
       e.position, e.aggregate_type, e.aggregate_id, e.version, e.event_id, e.event_type, e.schema_version,
       e.event_data, e.metadata, e.timestamp
FROM fs_process_history h
LEFT JOIN events e ON h.kind = 'event' AND e.position = h.position
WHERE h.process = $1 AND h.process_id = $2 AND h.version > $3
ORDER BY h.version
LIMIT $4
