-- Moves a checkpoint, if it is of this generation and still stands where this owner left it; no row touched means that another
-- owner, build or rebuild moved it. $1 handler, $2 generation, $3 shard, $4 from, $5 to, $6 now.
UPDATE fs_checkpoints SET position = $5, updated_at = $6
WHERE handler = $1 AND generation = $2 AND shard = $3 AND position = $4
