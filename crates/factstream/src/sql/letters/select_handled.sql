-- Which of these events a handler is done with: they are marked as handled, and none waits among the letters. $1 handler, $2.. identities
-- of events, in {rows}. Each is looked for by itself, along the whole key: without statistics, as in a new store, PostgreSQL would
-- read all that the handler has handled.
WITH wanted (event_id) AS (VALUES {rows})
SELECT w.event_id
FROM wanted w
WHERE (SELECT i.event_id FROM fs_inbox i WHERE i.handler = $1 AND i.event_id = w.event_id) IS NOT NULL
  AND (
      SELECT count(*) FROM fs_dead_letters l
      WHERE l.handler = $1 AND l.identity = w.event_id AND l.state IN ('dead', 'retrying', 'parked', 'waiting')
  ) = 0
