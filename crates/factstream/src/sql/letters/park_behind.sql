-- Counts one more event behind a blocked key, and locks the key; no row touched means that the key flows again.
-- $1 handler, $2 key.
UPDATE fs_blocked_keys SET parked = parked + 1
WHERE handler = $1 AND event_key = $2
