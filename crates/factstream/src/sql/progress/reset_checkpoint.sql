-- Sets a checkpoint to another place, in the next generation. $1 handler, $2 generation, $3 shard, $4 position, $5 next generation,
-- $6 now.
UPDATE fs_checkpoints SET position = $4, generation = $5, updated_at = $6
WHERE handler = $1 AND generation = $2 AND shard = $3
