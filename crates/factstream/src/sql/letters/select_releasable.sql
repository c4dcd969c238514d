-- Causes that keys of a handler wait for, and that it is done with. $1 handler, $2 at most.
SELECT DISTINCT b.waits_for AS cause
FROM fs_blocked_keys b
WHERE b.handler = $1 AND b.waits_for IS NOT NULL AND b.next_attempt_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM fs_inbox i WHERE i.handler = b.handler AND i.event_id = b.waits_for)
  AND NOT EXISTS (
      SELECT 1 FROM fs_dead_letters l
      WHERE l.handler = b.handler AND l.identity = b.waits_for AND l.state IN ('dead', 'retrying', 'parked', 'waiting')
  )
LIMIT $2
