-- The first of what waits under a key. $1 handler, $2 key.
SELECT id
FROM fs_dead_letters
WHERE handler = $1 AND event_key = $2 AND state IN ('dead', 'retrying', 'waiting', 'parked')
ORDER BY id
LIMIT 1
