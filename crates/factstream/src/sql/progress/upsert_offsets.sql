-- Records how far a consumer has come in a partition. Backwards only where a record before the stored offset is newer than everything
-- that was read, so that it is one of a topic that was made again. Not by a build that another one has replaced: then no row is touched.
-- $1 handler, $2 cluster, $3 topic, $4 partition, $5 next offset, $6 newest time of a record, $7 generation, $8 now.
INSERT INTO fs_offsets (handler, cluster, topic, partition, next_offset, newest_at, generation, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (handler, cluster, topic, partition) DO UPDATE
SET next_offset = CASE WHEN fs_offsets.next_offset < excluded.next_offset OR fs_offsets.newest_at < excluded.newest_at
                       THEN excluded.next_offset ELSE fs_offsets.next_offset END,
    newest_at = CASE WHEN fs_offsets.newest_at IS NULL OR fs_offsets.newest_at < excluded.newest_at
                     THEN excluded.newest_at ELSE fs_offsets.newest_at END,
    generation = excluded.generation, updated_at = excluded.updated_at
WHERE fs_offsets.generation <= excluded.generation
