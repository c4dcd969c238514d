-- Dead letters that are yet to be mirrored, oldest first, each with its last failed attempt. $1 after this id, $2 at most.
SELECT l.*, (
    SELECT h.detail FROM fs_dead_letter_history h
    WHERE h.letter_id = l.id AND h.action = 'attempt' ORDER BY h.entry DESC LIMIT 1
) AS last_attempt
FROM fs_dead_letter_mirror m JOIN fs_dead_letters l ON l.id = m.letter_id
WHERE m.letter_id > $1
ORDER BY m.letter_id LIMIT $2
