-- Timers that are pending, soonest first. $1 handler (NULL: all), $2 key (NULL: all), $3 at most.
SELECT handler, timer_key, name, due_at, wakes_at IS NULL AS held, payload_type, payload, set_at
FROM fs_timers
WHERE handler = coalesce($1, handler) AND timer_key = coalesce($2, timer_key)
ORDER BY due_at, handler, timer_key, name
LIMIT $3
