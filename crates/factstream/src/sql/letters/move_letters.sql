-- Moves what waits of a topic into another queue. $1 handler, $2 the key that it waits behind, $3 topic, $4 the other one.
UPDATE fs_dead_letters SET event_key = $4
WHERE handler = $1 AND event_key = $2 AND topic = $3 AND state IN ('parked', 'waiting', 'retrying')
