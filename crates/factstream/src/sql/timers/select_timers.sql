-- Timers that wait, by handler, key and name. $1 handler, $2 key and $3 name of the one before, $4 at most.
SELECT handler, timer_key, name, due_at, wakes_at IS NULL AS held, payload_type, set_at
FROM fs_timers
WHERE (handler, timer_key, name) > ($1, $2, $3)
ORDER BY handler, timer_key, name
LIMIT $4
