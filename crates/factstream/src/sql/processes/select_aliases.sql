-- Whose these aliases are. $1 process, {ids} aliases.
SELECT alias, process_id
FROM fs_process_aliases
WHERE process = $1 AND alias IN ({ids})
