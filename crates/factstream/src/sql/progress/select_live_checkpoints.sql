-- The checkpoints of a handler's live generation, shard by shard. $1 handler.
SELECT c.position
FROM fs_handlers h JOIN fs_checkpoints c ON c.handler = h.handler AND c.generation = h.generation
WHERE h.handler = $1
ORDER BY c.shard
