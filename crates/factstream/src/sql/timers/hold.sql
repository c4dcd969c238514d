-- A timer waits among the letters and is not looked for any more; it still can be cancelled. $1 handler, $2 key, $3 name, $4 token.
UPDATE fs_timers SET wakes_at = NULL
WHERE handler = $1 AND timer_key = $2 AND name = $3 AND token = $4
