-- Every handler with its live generation and checkpoints, and those of the framework's own, whose names then begin with fs:.
SELECT h.handler, h.generation, h.late, c.shard, c.shards, c.position
FROM fs_handlers h LEFT JOIN fs_checkpoints c ON c.handler = h.handler AND c.generation = h.generation
UNION ALL
SELECT 'fs:' || handler, generation, 0, shard, shards, position
FROM fs_checkpoints
WHERE generation = 0
