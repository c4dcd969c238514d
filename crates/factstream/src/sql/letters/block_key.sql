-- Stops a key at an event. $1 handler, $2 key, $3 id of the event, $4 next attempt (NULL: a dead letter), $5 the cause that it waits for.
INSERT INTO fs_blocked_keys (handler, event_key, head_id, next_attempt_at, parked, waits_for) VALUES ($1, $2, $3, $4, 0, $5)
