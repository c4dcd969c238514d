-- Begins an instance, unless there is one. $1 process, $2 its id, $3 status, $4 state (JSON), $5 version of its shape, $6 inputs taken,
-- $7 position of the newest event, $8 now, $9 ended at.
INSERT INTO fs_processes (process, process_id, status, state, state_version, version, position, started_at, updated_at,
                          ended_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
ON CONFLICT (process, process_id) DO NOTHING
