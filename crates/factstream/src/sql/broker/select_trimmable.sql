-- Partitions whose oldest record was published before a time and was read by every group of the topic, with the offset that all of
-- them have come to. A group that has not read yet stands where it began; a topic without a group keeps everything.
-- $1 before this time.
SELECT p.topic, p.partition, p.oldest_offset, min(coalesce(g.next_offset, s.start_offset)) AS read_to
FROM fs_partitions p
JOIN (
    SELECT group_name, topic, partition FROM fs_group_starts
    UNION
    SELECT group_name, topic, partition FROM fs_group_offsets
) AS every ON every.topic = p.topic AND every.partition = p.partition
LEFT JOIN fs_group_offsets g
       ON g.group_name = every.group_name AND g.topic = p.topic AND g.partition = p.partition
LEFT JOIN fs_group_starts s
       ON s.group_name = every.group_name AND s.topic = p.topic AND s.partition = p.partition
JOIN fs_records r ON r.topic = p.topic AND r.partition = p.partition AND r.record_offset = p.oldest_offset
WHERE r.published_at < $1
GROUP BY p.topic, p.partition, p.oldest_offset
HAVING min(coalesce(g.next_offset, s.start_offset)) > p.oldest_offset
