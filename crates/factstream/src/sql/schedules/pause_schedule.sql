-- Stops a schedule, or has it go on from now on. $1 handler, $2 name, $3 paused, $4 now.
UPDATE fs_schedules SET paused = $3, last_slot = $4, next_due = NULL
WHERE handler = $1 AND name = $2
