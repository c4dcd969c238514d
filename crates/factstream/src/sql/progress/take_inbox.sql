-- Marks events as handled by a handler; the ids of those that were not marked before, each once.
-- $1 handler, $2 now, $3.. event ids, in {rows}.
INSERT INTO fs_inbox (handler, event_id, handled_at) VALUES {rows}
ON CONFLICT (handler, event_id) DO NOTHING
RETURNING event_id
