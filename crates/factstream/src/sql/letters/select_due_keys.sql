-- The keys whose waiting event is due, longest due first; one that waits for longer than a plan may be was planned by a clock
-- that was wrong, and is due. $1 handler, $2 now, $3 the end of the longest plan, $4 at most.
SELECT event_key, head_id
FROM fs_blocked_keys
WHERE handler = $1 AND (next_attempt_at <= $2 OR next_attempt_at > $3)
ORDER BY next_attempt_at
LIMIT $4
