-- Occurrences until now were considered. $1 handler, $2 name, $3 now, $4 the next occurrence.
UPDATE fs_schedules SET last_slot = $3, next_due = $4
WHERE handler = $1 AND name = $2
