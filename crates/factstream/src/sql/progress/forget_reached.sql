-- Forgets earlier divisions into shards of which none had come beyond a position. $1 handler, $2 position.
DELETE FROM fs_checkpoints
WHERE handler = $1 AND generation < 0 AND generation NOT IN (
    SELECT generation FROM fs_checkpoints WHERE handler = $1 AND generation < 0 AND position > $2
)
