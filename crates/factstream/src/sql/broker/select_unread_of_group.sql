-- How many records a group has not read of the topics that it has begun or read. $1 group.
SELECT CAST(coalesce(sum(p.next_offset - coalesce(g.next_offset, s.start_offset)), 0) AS BIGINT) AS unread
FROM fs_partitions p
LEFT JOIN fs_group_offsets g ON g.group_name = $1 AND g.topic = p.topic AND g.partition = p.partition
LEFT JOIN fs_group_starts s ON s.group_name = $1 AND s.topic = p.topic AND s.partition = p.partition
WHERE g.next_offset IS NOT NULL OR s.start_offset IS NOT NULL
