-- The topics of what waits in the queue of a key, each with its first letter. $1 handler, $2 key.
SELECT topic, min(id) AS head, count(*) AS letters
FROM fs_dead_letters
WHERE handler = $1 AND event_key = $2 AND state IN ('parked', 'waiting', 'retrying')
GROUP BY topic
ORDER BY topic
