-- How far a group is behind in some topics: records, and when the oldest of them was published. $1 group, $2.. topics, in
-- {topics}.
SELECT CAST(coalesce(sum(p.next_offset - coalesce(g.next_offset, p.oldest_offset)), 0) AS BIGINT) AS events,
       min(r.published_at) AS oldest
FROM fs_partitions p
LEFT JOIN fs_group_offsets g ON g.group_name = $1 AND g.topic = p.topic AND g.partition = p.partition
LEFT JOIN fs_records r
       ON r.topic = p.topic AND r.partition = p.partition
      AND r.record_offset = coalesce(g.next_offset, p.oldest_offset)
WHERE p.topic IN ({topics})
