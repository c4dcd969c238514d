-- Partitions with records that were published before a time and that every group of the topic has read: the offset up
-- to which they can go. A topic without a group keeps everything. $1 before this time.
SELECT p.topic, p.partition, p.oldest_offset, min(g.next_offset) AS upto
FROM fs_partitions p
JOIN fs_group_offsets g ON g.topic = p.topic AND g.partition = p.partition
JOIN fs_records r ON r.topic = p.topic AND r.partition = p.partition AND r.record_offset = p.oldest_offset
WHERE r.published_at < $1
GROUP BY p.topic, p.partition, p.oldest_offset
HAVING min(g.next_offset) > p.oldest_offset
