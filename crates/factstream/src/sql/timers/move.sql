-- A timer is to fire at another time. $1 handler, $2 key, $3 name, $4 new token, $5 due at, $6 now.
UPDATE fs_timers SET token = $4, due_at = $5, wakes_at = $5, set_at = $6
WHERE handler = $1 AND timer_key = $2 AND name = $3
