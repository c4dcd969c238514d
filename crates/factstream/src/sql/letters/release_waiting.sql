-- Has the keys looked at again whose heads wait for one of these events. $1 handler, $2 now, $3.. identities of events, in {ids}.
UPDATE fs_blocked_keys SET next_attempt_at = $2, waits_for = NULL
WHERE handler = $1 AND waits_for IN ({ids}) AND next_attempt_at IS NOT NULL
