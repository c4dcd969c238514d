-- Embedded topics: where each group began in each partition, written when the group is declared. Until it has read, that holds
-- back deletion as its offset does later. missed: how many records of the partition were deleted before it began.
CREATE TABLE fs_group_starts (
    group_name   TEXT NOT NULL,
    topic        TEXT NOT NULL,
    partition    BIGINT NOT NULL,
    start_offset BIGINT NOT NULL,
    missed       BIGINT NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
);
