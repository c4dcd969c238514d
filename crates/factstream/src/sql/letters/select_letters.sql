-- Letters of some states in short, with how many are parked behind them, oldest first; without their bytes, of which a thousand
-- letters may have a gigabyte, and with the beginning of their reasons. $1, $2 and $3 states, $4 handler (NULL: all), $5 after this id,
-- $6 at most.
SELECT l.id, l.handler, l.event_key, l.state, l.event_id, l.event_type, l.topic, l.partition, l.record_offset,
       substr(l.reason, 1, 1000) AS reason,
       l.attempts, l.created_at, coalesce(b.parked, 0) AS parked_behind, b.next_attempt_at
FROM fs_dead_letters l
LEFT JOIN fs_blocked_keys b ON b.handler = l.handler AND b.event_key = l.event_key AND b.head_id = l.id
WHERE l.state IN ($1, $2, $3) AND l.id > $5 AND l.handler = coalesce($4, l.handler)
ORDER BY l.id
LIMIT $6
