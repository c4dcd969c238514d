-- What was decided about letters of a rebuild replaces what was decided before. $1 handler, $2 the rebuild's name.
DELETE FROM fs_amendments
WHERE handler = $1 AND position IN (SELECT position FROM fs_amendments WHERE handler = $2)
