-- Notes where a group begins in each partition of a topic: at the oldest record. One that has read before has missed nothing.
-- $1 group, $2 topic.
INSERT INTO fs_group_starts (group_name, topic, partition, start_offset, missed)
SELECT $1, p.topic, p.partition, p.oldest_offset,
       CASE WHEN EXISTS (SELECT 1 FROM fs_group_offsets g WHERE g.group_name = $1 AND g.topic = p.topic)
            THEN 0 ELSE p.oldest_offset END
FROM fs_partitions p
WHERE p.topic = $2
ON CONFLICT (group_name, topic, partition) DO NOTHING
