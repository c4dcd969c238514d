-- The keys whose waiting event is due, longest due first. $1 handler, $2 now, $3 at most.
SELECT event_key, head_id
FROM fs_blocked_keys
WHERE handler = $1 AND next_attempt_at <= $2
ORDER BY next_attempt_at
LIMIT $3
