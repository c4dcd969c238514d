-- When the next timer of a handler is due. $1 handler, $2 the low-water mark.
SELECT wakes_at
FROM fs_timers
WHERE handler = $1 AND wakes_at >= $2
ORDER BY wakes_at
LIMIT 1
