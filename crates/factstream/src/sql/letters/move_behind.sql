-- Parks all that waits under a key behind another one, with a new set of attempts. $1 handler, $2 the key, $3 the other one, $4 now.
UPDATE fs_dead_letters
SET event_key = $3, state = 'parked', attempts = 0, updated_at = $4
WHERE handler = $1 AND event_key = $2 AND state IN ('dead', 'retrying', 'waiting', 'parked')
