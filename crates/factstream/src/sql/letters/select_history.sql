-- What happened to a letter before one of its entries, newest first: at most so many entries and bytes, but the newest one whatever
-- its size. $1 letter, $2 before this entry, $3 entries at most, $4 bytes at most.
SELECT entry, at, action, detail
FROM (
    SELECT entry, at, action, detail,
           CAST(sum(length(detail)) OVER (ORDER BY entry DESC) AS BIGINT) AS bytes,
           row_number() OVER (ORDER BY entry DESC) AS place
    FROM fs_dead_letter_history
    WHERE letter_id = $1 AND entry < $2
) AS newest
WHERE place = 1 OR (place <= $3 AND bytes <= $4)
ORDER BY entry DESC
