-- Forgets attempts in the middle of a long history: the first ones say how it began, the last ones how it is. What a person did is
-- kept. $1 letter, $2 how many entries are kept from the beginning, $3 and from the end.
DELETE FROM fs_dead_letter_history
WHERE letter_id = $1 AND action = 'attempt' AND entry > $2
  AND entry <= (SELECT max(entry) FROM fs_dead_letter_history WHERE letter_id = $1) - $3
