-- The timers of one key of a handler, by name. $1 handler, $2 key, $3 at most.
SELECT handler, timer_key, name, due_at, wakes_at IS NULL AS held, payload_type, set_at
FROM fs_timers
WHERE handler = $1 AND timer_key = $2
ORDER BY name
LIMIT $3
