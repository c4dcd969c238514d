-- The aliases of an instance. $1 process, $2 its id.
SELECT alias
FROM fs_process_aliases
WHERE process = $1 AND process_id = $2
ORDER BY alias
