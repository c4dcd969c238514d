-- Writes an instance, if it is as it was read. $1 process, $2 its id, $3 status, $4 state (JSON), $5 version of its shape, $6 inputs
-- taken, $7 position of the newest event, $8 now, $9 ended at, $10 inputs taken when it was read.
UPDATE fs_processes
SET status = $3, state = $4, state_version = $5, version = $6, position = $7, updated_at = $8, ended_at = $9
WHERE process = $1 AND process_id = $2 AND version = $10
