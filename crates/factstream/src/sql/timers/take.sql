-- A timer takes effect: it is deleted, unless it was cancelled or set anew since it was read. $1 handler, $2 key, $3 name, $4 token.
DELETE FROM fs_timers
WHERE handler = $1 AND timer_key = $2 AND name = $3 AND token = $4
