-- Seals beyond a size, with their salts where these are still there. $1 size, $2 at most.
SELECT s.size, s.form, s.leaves, s.peaks, s.root, t.salts
FROM fs_seals s LEFT JOIN fs_seal_salts t ON t.size = s.size
WHERE s.size > $1
ORDER BY s.size
LIMIT $2
