-- Letters that wait: dead, retried, waiting for a cause, or parked behind one of these. $1 after this id, $2 at most.
SELECT *
FROM fs_dead_letters
WHERE id > $1 AND state IN ('dead', 'retrying', 'waiting', 'parked')
ORDER BY id
LIMIT $2
