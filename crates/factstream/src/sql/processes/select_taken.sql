-- Whether an instance has taken an input. $1 process, $2 its id, $3 the input's id.
SELECT 1
FROM fs_process_history
WHERE process = $1 AND process_id = $2 AND input_id = $3
LIMIT 1
