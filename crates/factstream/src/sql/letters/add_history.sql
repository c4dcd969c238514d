-- Records what happened to a letter. $1 letter, $2 now, $3 action, $4 detail (JSON).
INSERT INTO fs_dead_letter_history (letter_id, entry, at, action, detail)
SELECT $1, coalesce(max(entry), 0) + 1, $2, $3, $4
FROM fs_dead_letter_history
WHERE letter_id = $1
