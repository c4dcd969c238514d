-- A handler's timers that are due, longest due first, after one of them. The low-water mark keeps the index from being read from its
-- beginning, where the entries of timers that have fired may not be cleaned up yet. $1 handler, $2 the low-water mark, $3 now,
-- $4 wakes at, $5 key and $6 name of the one before, $7 at most.
SELECT timer_key, name, token, due_at, wakes_at, payload_type, payload, origin, set_at
FROM fs_timers
WHERE handler = $1 AND wakes_at >= $2 AND wakes_at <= $3 AND (wakes_at, timer_key, name) > ($4, $5, $6)
ORDER BY wakes_at, timer_key, name
LIMIT $7
