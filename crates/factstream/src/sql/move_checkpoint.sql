-- Moves a checkpoint, if it still stands where this owner left it; no row touched means that another owner moved it.
-- $1 handler, $2 from, $3 to, $4 now.
UPDATE fs_checkpoints SET position = $3, updated_at = $4
WHERE handler = $1 AND position = $2
