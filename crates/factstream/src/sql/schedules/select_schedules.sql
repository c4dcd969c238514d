-- The schedules of a handler. $1 handler.
SELECT name, line, zone, last_slot, next_due, paused
FROM fs_schedules
WHERE handler = $1
ORDER BY name
