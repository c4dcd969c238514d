-- The partitions of a topic and where a group stands in them; a new group stands at the oldest record.
-- $1 group, $2 topic.
SELECT p.partition, p.oldest_offset, p.next_offset, g.next_offset AS committed
FROM fs_partitions p
LEFT JOIN fs_group_offsets g ON g.group_name = $1 AND g.topic = p.topic AND g.partition = p.partition
WHERE p.topic = $2
ORDER BY p.partition
