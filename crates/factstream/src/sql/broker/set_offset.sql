-- Sets where a group goes on, also backwards. $1 group, $2 topic, $3 partition, $4 next offset.
INSERT INTO fs_group_offsets (group_name, topic, partition, next_offset) VALUES ($1, $2, $3, $4)
ON CONFLICT (group_name, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
