-- The newest seal, without its leaves.
SELECT size, form, peaks, root, sealed_at
FROM fs_seals
ORDER BY size DESC
LIMIT 1
