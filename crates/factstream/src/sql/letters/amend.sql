-- Keeps what a person decided about an event; a later decision replaces it. $1 handler, $2 position, $3 action, $4 data, $5 now.
INSERT INTO fs_amendments (handler, position, action, data, decided_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (handler, position) DO UPDATE
SET action = excluded.action, data = excluded.data, decided_at = excluded.decided_at
