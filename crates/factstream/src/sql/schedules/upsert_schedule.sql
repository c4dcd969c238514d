-- A schedule that is new, or has another line or zone: it begins now, and stays paused where it was. $1 handler, $2 name, $3 line, $4 zone,
-- $5 now.
INSERT INTO fs_schedules (handler, name, line, zone, last_slot, next_due, paused)
VALUES ($1, $2, $3, $4, $5, NULL, FALSE)
ON CONFLICT (handler, name) DO UPDATE SET line = excluded.line, zone = excluded.zone, last_slot = excluded.last_slot
