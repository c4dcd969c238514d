-- One letter with what is parked behind it. $1 id.
SELECT l.*, coalesce(b.parked, 0) AS parked_behind, b.next_attempt_at
FROM fs_dead_letters l
LEFT JOIN fs_blocked_keys b ON b.handler = l.handler AND b.event_key = l.event_key AND b.head_id = l.id
WHERE l.id = $1
