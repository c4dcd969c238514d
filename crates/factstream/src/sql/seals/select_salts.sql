-- The salts of the row that seals a position. $1 the position.
SELECT size, salts
FROM fs_seal_salts
WHERE size >= $1
ORDER BY size
LIMIT 1
