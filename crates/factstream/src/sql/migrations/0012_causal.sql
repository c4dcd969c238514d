-- Causal order. waits_for is the event that the head of a blocked key waits for: a cause of it, which is not handled yet; next_attempt_at is
-- then when the wait is over. A letter of the state `waiting` has not been attempted.
ALTER TABLE fs_blocked_keys ADD COLUMN waits_for TEXT;
CREATE INDEX fs_blocked_keys_waits ON fs_blocked_keys (handler, waits_for) WHERE waits_for IS NOT NULL;

-- Whether a letter of an event waits is asked by what the event is marked by.
UPDATE fs_dead_letters SET identity = event_id WHERE identity IS NULL;
CREATE INDEX fs_dead_letters_identity ON fs_dead_letters (handler, identity);

-- How many events of a handler were not preceded by their causes when their wait was over.
ALTER TABLE fs_handlers ADD COLUMN late BIGINT NOT NULL DEFAULT 0;
