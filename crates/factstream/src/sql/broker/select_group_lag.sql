-- How far a group is behind in some topics: records, when the oldest of them was published, and how many were gone when it began.
-- $1 group, $2.. topics, in {topics}.
SELECT CAST(coalesce(sum(p.next_offset - coalesce(g.next_offset, p.oldest_offset)), 0) AS BIGINT) AS events,
       min(r.published_at) AS oldest,
       CAST(coalesce(sum(s.missed), 0) AS BIGINT) AS missed
FROM fs_partitions p
LEFT JOIN fs_group_offsets g ON g.group_name = $1 AND g.topic = p.topic AND g.partition = p.partition
LEFT JOIN fs_group_starts s ON s.group_name = $1 AND s.topic = p.topic AND s.partition = p.partition
LEFT JOIN fs_records r
       ON r.topic = p.topic AND r.partition = p.partition
      AND r.record_offset = coalesce(g.next_offset, p.oldest_offset)
WHERE p.topic IN ({topics})
