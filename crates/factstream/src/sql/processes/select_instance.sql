-- An instance, and whether its key is blocked. $1 process, $2 its id.
SELECT p.process_id, p.status, p.state, p.state_version, p.version, p.position, p.started_at, p.updated_at, p.ended_at,
       EXISTS (SELECT 1 FROM fs_blocked_keys b WHERE b.handler = p.process AND b.event_key = p.process_id) AS blocked
FROM fs_processes p
WHERE p.process = $1 AND p.process_id = $2
