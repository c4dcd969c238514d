-- Which of these events a handler is done with: they are marked as handled, and none waits among the letters. $1 handler, $2.. identities
-- of events, in {ids}.
SELECT i.event_id
FROM fs_inbox i
WHERE i.handler = $1 AND i.event_id IN ({ids})
  AND NOT EXISTS (
      SELECT 1 FROM fs_dead_letters l
      WHERE l.handler = i.handler AND l.identity = i.event_id AND l.state IN ('dead', 'retrying', 'parked', 'waiting')
  )
