-- Marks an event as handled by a handler; no row touched means that it was handled before.
-- $1 handler, $2 event id, $3 now.
INSERT INTO fs_inbox (handler, event_id, handled_at) VALUES ($1, $2, $3)
ON CONFLICT (handler, event_id) DO NOTHING
